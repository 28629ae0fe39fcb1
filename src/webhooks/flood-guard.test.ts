import assert from "node:assert/strict";
import { test } from "node:test";
import { newId } from "../base/ids.ts";
import { json } from "../store/json.ts";
import { openTestStore } from "../store/test-store.ts";
import { createFloodGuard } from "./flood-guard.ts";

const owner = { organization: "acme", plugin: "acme.hook" };

test("an installation takes so many requests at once, another one is not held up", async () => {
  await using store = await openTestStore();
  const guard = createFloodGuard({ store, rate: { perSecond: 0.001, burst: 3 } });
  for (let n = 0; n < 3; n++) guard.enter(owner);
  assert.throws(() => guard.enter(owner), { code: "rate_limited" });
  guard.enter({ organization: "globex", plugin: "acme.hook" });
});

test("of requests that came to nothing the newest stay; accepted ones and those of others are not touched", async () => {
  await using store = await openTestStore();
  const guard = createFloodGuard({ store, maxUnaccepted: 4 });
  const insert = async (organization: string, status: number | null): Promise<string> => {
    const id = newId();
    await store.db
      .insertInto("webhook_requests")
      .values({
        ...{ organization_id: organization, id, plugin_id: "acme.hook", method: "POST", url: "https://hub/x", status },
        ...{ headers: json({}), body: Buffer.alloc(0) },
      })
      .execute();
    return id;
  };
  const kept = [await insert("acme", 200), await insert("globex", 401)];
  await insert("acme", 401);
  await insert("acme", null);
  for (let n = 0; n < 4; n++) kept.push(await insert("acme", n % 2 === 0 ? 403 : null));
  guard.unaccepted(owner);
  const ids = async () => (await store.db.selectFrom("webhook_requests").select("id").execute()).map(({ id }) => id);
  for (let waited = 0; (await ids()).length > kept.length && waited < 5_000; waited += 20)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual((await ids()).sort(), kept.sort());
});
