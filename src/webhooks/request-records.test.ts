import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { createDeliveries } from "../bus/deliveries.ts";
import { openTestStore } from "../store/test-store.ts";
import { type Answered, insertReceived, type Received, writeAnswered } from "./request-records.ts";

const received = (organization: string, id: string, body: Uint8Array): Received => ({
  request: { organization, plugin: "acme.chat", method: "POST", headers: { "x-from": "Zoë" }, body },
  id,
  url: `https://hub.example/webhooks/${organization}/acme.chat`,
  traceparent: "",
});

const answered = (
  organization: string,
  id: string,
  { item, refused = false }: { item?: string; refused?: boolean },
): Answered => ({
  organization,
  id,
  status: refused ? 403 : 200,
  execution: `exec-${id}`,
  forget: refused,
  deliveries:
    item === undefined
      ? []
      : [{ organization, consumer: "webhook:acme.chat", kind: "webhook", itemId: item, payload: { by: id } }],
});

test("requests stored together keep their bytes, their own answers, and one delivery of an item that came twice", async () => {
  await using store = await openTestStore();
  const deliveries = createDeliveries({ store, nodeId: "node" });
  const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
  // A view into a larger buffer, as bodies come.
  const view = new Uint8Array(Buffer.from("..secret..").buffer.slice(0)).subarray(0, 4);
  const requests = [
    received("acme", "r1", bytes),
    received("acme", "r2", view),
    received("acme", "r3", Buffer.from("forged")),
    received("globex", "r1", new Uint8Array()),
  ];
  await store.transaction((tx) => insertReceived(tx, requests));
  // As after a commit whose answer was lost.
  await store.transaction((tx) => insertReceived(tx, requests));
  await store.transaction((tx) =>
    writeAnswered(tx, deliveries, [
      answered("acme", "r1", { item: "SM1" }),
      answered("acme", "r2", { item: "SM1" }),
      answered("acme", "r3", { refused: true }),
      answered("globex", "r1", { item: "SM1" }),
    ]),
  );
  const rows = await store.db
    .selectFrom("webhook_requests")
    .selectAll()
    .orderBy("organization_id")
    .orderBy("id")
    .execute();
  assert.deepEqual(
    rows.map((row) => [row.organization_id, row.id, row.status, row.execution_id, row.headers, [...row.body]]),
    [
      ["acme", "r1", 200, "exec-r1", { "x-from": "Zoë" }, [...bytes]],
      ["acme", "r2", 200, "exec-r2", { "x-from": "Zoë" }, [...view]],
      ["acme", "r3", 403, "exec-r3", {}, []],
      ["globex", "r1", 200, "exec-r1", { "x-from": "Zoë" }, []],
    ],
  );
  const { rows: items } = await sql<{ organization: string; payload: unknown }>`
    select organization_id as organization, payload from deliveries order by organization_id, id`.execute(store.db);
  assert.deepEqual(items, [
    { organization: "acme", payload: { by: "r1" } },
    { organization: "globex", payload: { by: "r1" } },
  ]);
});
