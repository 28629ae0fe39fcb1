/** Runs the contract of channels on each driver that the environment offers. */
import { channelsContract } from "./channels.contract.ts";

const postgres = process.env["TEST_DATABASE_URL"];

channelsContract({ name: "PGlite", store: "pglite" });
channelsContract({ name: "PostgreSQL", store: "postgres", ...(postgres ? {} : { skip: "needs TEST_DATABASE_URL" }) });
