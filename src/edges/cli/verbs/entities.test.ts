import assert from "node:assert/strict";
import { test } from "node:test";
import { runForTest, startFakeHub } from "../test-cli.ts";

const row = {
  id: "c1",
  displayName: "Ada\u001b[2J",
  source: "book",
  updatedAt: "2026-01-01T00:00:00.000Z",
  provenance: { plugin: "acme.crm" },
};

test("entities TYPE lists rows with the filter, order and words given", async () => {
  await using hub = await startFakeHub({
    "GET /api/entities/contacts": { body: { entities: [row], nextCursor: null } },
  });
  const args = ["entities", "contacts", "--filter", '{"company": "Acme"}', "--text", "ada", "--order", "-displayName"];
  const { code, out } = await runForTest(args, { env: hub.env });
  assert.equal(code, 0);
  assert.match(out, /c1 +Ada\\u001b\[2J +book/);
  const query = Object.fromEntries(hub.requests[0]!.query);
  assert.deepEqual(query, { filter: '{"company":"Acme"}', text: "ada", orderBy: "-displayName", limit: "50" });
  const json = await runForTest(["entities", "contacts", "--json"], { env: hub.env });
  assert.deepEqual(json.json(), { entities: [row] });
});

test("entities show, types and delete", async () => {
  await using hub = await startFakeHub({
    "GET /api/entities/contacts/a%2Fb": { body: row },
    "GET /api/entities": {
      body: { types: [{ type: "contacts", count: 10000, countCapped: true, schema: {} }], nextCursor: null },
    },
    "DELETE /api/entities/contacts/c1": { status: 204 },
  });
  assert.match(
    (await runForTest(["entities", "show", "contacts", "a/b"], { env: hub.env })).out,
    /written by +acme\.crm/,
  );
  assert.match((await runForTest(["entities", "types"], { env: hub.env })).out, /contacts +10000 or more/);
  assert.equal((await runForTest(["entities", "delete", "contacts", "c1"], { env: hub.env })).out, "c1 is deleted.\n");
  assert.equal((await runForTest(["entities", "contacts", "--filter", "{"], { env: hub.env })).code, 2);
});
