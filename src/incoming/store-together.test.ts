import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sql } from "kysely";
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import { createEventLog } from "../bus/event-log.ts";
import { createEntities } from "../entities/entities.ts";
import type { Installation } from "../installations/installations.ts";
import type { Store } from "../store/store.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import { readChanges } from "./read-batch.ts";
import { createStoreTogether, type Pushed } from "./store-together.ts";

const grants = ["data:write:conversations", "data:write:messages", "event:publish:comms.*"] as Installation["grants"];
const traceOf = (n: number): string => `00-${String(n).padStart(32, "0")}-${String(n).padStart(16, "0")}-01`;

/** What a channel answers for message `n`: its conversation, itself, and an event that names both. */
function pushed(
  n: number,
  { organization = "acme", conversation = `c${n}`, body = `Message ${n}` as unknown } = {},
): Pushed {
  const plugin = asPluginId("acme.chat");
  const answer = {
    entities: [
      {
        type: "conversations",
        externalId: conversation,
        data: { channel: "chat", lastMessageAt: `2026-01-01T00:00:0${n}Z` },
      },
      {
        type: "messages",
        externalId: `m${n}`,
        data: { body, conversationId: { $ref: "conversations", externalId: conversation } },
      },
    ],
    events: [
      {
        type: "comms.MessageReceived",
        id: `m${n}`,
        data: {
          n,
          conversationId: { $ref: "conversations", externalId: conversation },
          messageId: { $ref: "messages", externalId: `m${n}` },
        },
      },
    ],
  };
  const { items, events } = readChanges(answer, { plugin, grants });
  const write = {
    organization: asOrganizationId(organization),
    plugin,
    execution: `exec-${n}`,
    traceparent: traceOf(n),
    eventDepth: 0,
  };
  return { write, items, events, size: 0 };
}

interface Told {
  organization: string;
  type: string;
  traceparent: string;
  data: { n: number; id: string; conversationId: string; messageId: string; record: { version: number } };
}

for (const driver of ["pglite", "postgres"] as const)
  describe(driver, { skip: driver === "postgres" && !process.env["TEST_DATABASE_URL"] }, () => {
    let opened: TestStore;
    before(async () => {
      opened = await openTestStore({ driver } as { driver: "pglite" });
    });
    after(() => opened[Symbol.asyncDispose]());

    /** A store whose items all wait for the first of them, how many statements were begun together, and what was left behind. */
    async function storing(all: readonly Pushed[]) {
      await sql`truncate entities, events`.execute(opened.db);
      let transactions = 0;
      const counted: Store = {
        ...opened,
        batchCommit: (storeAll, options) =>
          opened.batchCommit((tx, items) => {
            transactions += 1;
            return storeAll(tx, items);
          }, options),
      };
      const eventLog = createEventLog({ store: opened });
      const store = createStoreTogether({
        store: counted,
        entities: createEntities({ store: opened, eventLog }),
        eventLog,
      });
      const settled = await Promise.allSettled(all.map((one) => store(one)));
      const events =
        await sql<Told>`select organization_id as organization, type, traceparent, data from events order by seq`.execute(
          opened.db,
        );
      const rows = await sql<{
        type: string;
        id: string;
        name: string;
        version: number;
        execution: string;
        organization: string;
      }>`
        select organization_id as organization, type, id, external_id as name, version, execution_id as execution from entities
        order by organization_id, type, external_id`.execute(opened.db);
      return { transactions, settled: settled.map(({ status }) => status), events: events.rows, rows: rows.rows };
    }

    test("items that are ready together are stored together, each row and event with its own execution and trace", async () => {
      const { transactions, events, rows } = await storing([pushed(1), pushed(2), pushed(3)]);
      assert.equal(transactions, 1);
      assert.deepEqual(
        rows.map(({ type, name, execution }) => [type, name, execution]),
        [1, 2, 3]
          .map((n) => ["conversations", `c${n}`, `exec-${n}`])
          .concat([1, 2, 3].map((n) => ["messages", `m${n}`, `exec-${n}`])),
      );
      const idOf = (type: string, name: string) => rows.find((row) => row.type === type && row.name === name)!.id;
      for (const { type, traceparent, data } of events) {
        const n =
          type === "comms.MessageReceived" ? data.n : Number(rows.find(({ id }) => id === data.id)!.name.slice(1));
        assert.equal(traceparent, traceOf(n));
        if (type === "comms.MessageReceived")
          assert.deepEqual(
            [data.conversationId, data.messageId],
            [idOf("conversations", `c${n}`), idOf("messages", `m${n}`)],
          );
      }
      assert.equal(events.length, 9);
    });

    test("items that change the same row are changes of their own, in their order", async () => {
      const { events, rows } = await storing([
        pushed(1, { conversation: "c" }),
        pushed(2, { conversation: "c" }),
        pushed(3),
      ]);
      const conversation = rows.find(({ name }) => name === "c")!;
      assert.deepEqual([conversation.version, conversation.execution], [2, "exec-2"]);
      assert.deepEqual(
        events.filter(({ data }) => data.id === conversation.id).map(({ type, traceparent }) => [type, traceparent]),
        [
          ["data.ConversationCreated", traceOf(1)],
          ["data.ConversationUpdated", traceOf(2)],
        ],
      );
    });

    test("a bad item among good ones fails alone", async () => {
      const { settled, rows, events } = await storing([pushed(1), pushed(2, { body: 7 }), pushed(3)]);
      assert.deepEqual(settled, ["fulfilled", "rejected", "fulfilled"]);
      assert.deepEqual(
        rows.map(({ name }) => name),
        ["c1", "c3", "m1", "m3"],
      );
      assert.deepEqual(
        events.filter(({ type }) => type === "comms.MessageReceived").map(({ data }) => data.n),
        [1, 3],
      );
    });

    test("two organisations in one group keep to their own rows, whatever the names", async () => {
      const [ours, theirs] = [pushed(1), pushed(1, { organization: "globex" })];
      const { transactions, rows, events } = await storing([ours, theirs]);
      assert.equal(transactions, 1);
      const received = events.filter(({ type }) => type === "comms.MessageReceived");
      for (const organization of ["acme", "globex"]) {
        const own = rows.filter((row) => row.organization === organization);
        assert.deepEqual(
          own.map(({ name }) => name),
          ["c1", "m1"],
        );
        const [event, ...more] = received.filter((one) => one.organization === organization);
        assert.equal(more.length, 0);
        assert.deepEqual(
          [event!.data.conversationId, event!.data.messageId],
          own.map(({ id }) => id),
        );
      }
    });

    test("the same message twice in one group makes one row of each and one event", async () => {
      const { settled, rows, events } = await storing([pushed(1), pushed(1)]);
      assert.deepEqual(settled, ["fulfilled", "fulfilled"]);
      assert.deepEqual(
        rows.map(({ name, version }) => [name, version]),
        [
          ["c1", 1],
          ["m1", 1],
        ],
      );
      assert.deepEqual(
        events.map(({ type }) => type),
        ["data.ConversationCreated", "data.MessageCreated", "comms.MessageReceived"],
      );
    });
  });
