/** Runs the contract of deliveries on each driver that the environment offers. */
import { deliveriesContract } from "./deliveries.contract.ts";

const postgres = process.env["TEST_DATABASE_URL"];
const natsUrl = process.env["TEST_NATS_URL"];

deliveriesContract({ name: "PGlite", store: "pglite" });
deliveriesContract({ name: "PostgreSQL", store: "postgres", ...(postgres ? {} : { skip: "needs TEST_DATABASE_URL" }) });
deliveriesContract({
  name: "JetStream",
  store: postgres ? "postgres" : "pglite",
  ...(natsUrl ? { natsUrl } : { skip: "needs TEST_NATS_URL" }),
});
