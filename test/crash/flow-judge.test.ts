/** The judge of flow runs sees each flaw that a kill could leave: planted here in what an undisturbed run has left. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { mulberry32, sleep, startHub } from "./crash-hub.ts";
import { assertWhole, differencesOf, type Outcome, readOutcome } from "./flow-judge.ts";
import { ask, setUp } from "./flow-work.ts";
import { sharedDatabase, statement } from "./shared-services.ts";
import { startVendor } from "./vendor.ts";

const org = "flawed";
/** Statements over a finished run, and the part of the outcome that must differ then. */
const flaws: { flaw: string; sql: string; seen: keyof Outcome }[] = [
  {
    flaw: "a lost row of a sync",
    sql: "delete from entities where type = 'contacts' and external_id = 'item-7'",
    seen: "contacts",
  },
  {
    flaw: "a row written twice",
    sql: "update entities set version = version + 1 where type = 'contacts' and external_id = 'item-8'",
    seen: "contacts",
  },
  {
    flaw: "a webhook answered and lost",
    sql: "delete from entities where type = 'messages' and external_id = 'in-2'",
    seen: "inbound",
  },
  {
    flaw: "an incoming message stored twice",
    sql: "update entities set version = version + 1 where type = 'messages' and external_id = 'in-3'",
    seen: "inbound",
  },
  {
    flaw: "an action done twice",
    sql: "update entities set version = version + 1 where type = 'tasks' and data->>'title' = 'answer in-1'",
    seen: "tasks",
  },
  {
    flaw: "a message that nobody sends any more",
    sql: "update entities set data = jsonb_set(data, '{status}', '\"sending\"') where type = 'messages' and data->>'body' = 'message 1'",
    seen: "outbound",
  },
  {
    flaw: "a cursor ahead of its rows",
    sql: `update connector_states set position = replace(position::text, '"contact": 40', '"contact": 45')::jsonb`,
    seen: "cursors",
  },
  { flaw: "a sync without an end", sql: "update connector_runs set status = 'running'", seen: "synced" },
  { flaw: "a missing run of the rule", sql: "delete from rule_runs where event_id like '%in-4'", seen: "ruleRuns" },
  {
    flaw: "a lost event",
    sql: "delete from events where type = 'data.TaskCreated' and id = (select min(id) from events where type = 'data.TaskCreated')",
    seen: "events",
  },
  {
    flaw: "an event told twice",
    sql: `with copy as (
        insert into events (organization_id, id, source, type, time, accepted_at)
        select organization_id, id || '-again', source, type, time, accepted_at from events
        where id like '%in-5' and type = 'comms.MessageReceived' returning *
      )
      insert into event_positions (organization_id, first, last, type, ids, accepted_at)
      select copy.organization_id, next, next, copy.type, array[copy.id], copy.accepted_at
      from copy, (select max(last) + 1 as next from event_positions) positions`,
    seen: "events",
  },
  {
    flaw: "a delivery that is never made",
    sql: `insert into deliveries (organization_id, consumer, kind, key, item_id, payload, due) values ('${org}', 'webhook:gone', 'webhook', 'a', 'a', '{}', now() + interval '1 day')`,
    seen: "open",
  },
  { flaw: "a dead letter", sql: "update deliveries set state = 'dead' where item_id = 'a'", seen: "open" },
  {
    flaw: "an execution without an end",
    sql: "update executions set status = 'running', mode = 'async' where id = (select min(id) from executions)",
    seen: "open",
  },
];

test("the judge names every flaw that is planted, and nothing else", async (t) => {
  if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
  await using database = await sharedDatabase();
  await using vendor = await startVendor({ onStep() {} });
  const folder = await mkdtemp(join(tmpdir(), "backplane-judge-"));
  const hub = await startHub(folder, {
    ...database.env,
    BACKPLANE_EGRESS_OVERRIDE: JSON.stringify({ "vendor.test": vendor.origin }),
  });
  try {
    await setUp(hub.url, org);
    await ask({ org, running: [hub], random: mulberry32(1), onAccepted() {} });
    const read = (): Promise<Outcome> => readOutcome(hub.url, org, vendor.of(org).effects);
    let before = await settled(read);
    for (const { flaw, sql, seen } of flaws) {
      await statement(database.env["DATABASE_URL"]!, sql);
      const after = await read();
      assert.deepEqual(Object.keys(differencesOf(before, after)), [seen], flaw);
      before = after;
    }
    vendor.of(org).effects.set("another key", { to: "friend-1", body: "message 1" });
    assert.deepEqual(Object.keys(differencesOf(before, await read())), ["effects"], "a message sent twice");
  } finally {
    hub.child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
});

async function settled(read: () => Promise<Outcome>): Promise<Outcome> {
  for (const until = Date.now() + 60_000; ; await sleep(200)) {
    const found = await read();
    try {
      assertWhole(found);
      return found;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
}
