/** What a function gives out once, such as a device's token, is its caller's alone: no record that viewers read may hold it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestHub, type TestHub } from "../../kit/start-test-hub.ts";
import { everythingRecorded, installPuppet } from "./act.ts";
import { puppet } from "./puppet.ts";

let hub: TestHub;
const org = "acme";
const id = "acme.tokens";
const token = "tok-9f86d081884c7d659a2feaa0c55ad015";

before(async () => {
  hub = await startTestHub();
  await hub.organization(org);
  const returns = { type: "object", properties: { token: { type: "string", format: "secret" } } };
  const source = puppet({ id });
  const contributes = { functions: [{ name: "giveBack", description: "gives a token", returns }] };
  await installPuppet(hub, org, { ...source, manifest: { ...source.manifest, contributes } });
});
after(() => hub.close({ drainMs: 0 }));

test("a result whose schema has a secret reaches the caller and no record", async () => {
  const answer = await hub.call(org, id, "giveBack", {
    value: { token: { $join: [token.slice(0, 8), token.slice(8)] } },
  });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.result.token, token);
  const { body } = await hub.request("GET", `/api/executions/${answer.body.executionId}`, { org });
  assert.equal(body.result.omitted, true);
  assert.equal((await everythingRecorded(hub)).includes(token), false);
});

test("it cannot be called to be asked for later, since it would have to be kept", async () => {
  const answer = await hub.call(org, id, "giveBack", { value: { token } }, { mode: "async" });
  assert.equal(answer.status, 400, answer.text);
  assert.equal(answer.body.code, "invalid_input");
});
