/** The data model over HTTP: filters, pages, writes, deletes, links, roles; and what a plugin may do with it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { probe } from "../kit/probe-plugin.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
let globex: Keys;
before(async () => {
  hub = await startTestHub();
  acme = await hub.organization("acme");
  globex = await hub.organization("globex");
  await hub.install("acme", probe());
});
after(() => hub[Symbol.asyncDispose]());

const get = (path: string, who = acme): Promise<TestAnswer> =>
  hub.request("GET", `/api/entities${path}`, { token: who.viewerKey });
const send = (method: "POST" | "DELETE", path: string, body?: unknown, who = acme): Promise<TestAnswer> =>
  hub.request(method, `/api/entities${path}`, { token: who.memberKey, ...(body === undefined ? {} : { body }) });
const listed = async (query: string): Promise<string> => {
  const { status, body, text } = await get(`/contacts?orderBy=externalId&${query}`);
  assert.equal(status, 200, text);
  return body.entities.map(({ externalId }: { externalId: string }) => externalId).join("");
};

test("rows are written one or many, read back with their provenance, and an upsert is idempotent", async () => {
  const many = await send("POST", "/contacts", [
    {
      source: "book",
      externalId: "1",
      displayName: "Ada Lovelace",
      score: 5,
      tags: ["vip"],
      emails: [{ address: "ada@example.com" }],
    },
    { source: "book", externalId: "2", displayName: "Bob", score: 50, company: "true" },
    { source: "book", externalId: "3", displayName: "Cy", score: 7, birthday: "1990-02-03" },
  ]);
  assert.equal(many.status, 200, many.text);
  const [first] = many.body.entities;
  assert.deepEqual(first.provenance, { plugin: "api", execution: null, updatedAt: first.updatedAt });
  assert.deepEqual((await get(`/contacts/${first.id}`)).body, first);
  const again = await send("POST", "/contacts", { source: "book", externalId: "1", displayName: "Ada Lovelace" });
  assert.equal(again.body.entities[0].version, 1);
  const written = await hub.call("acme", "acme.probe", "upsert", { entity: "marks", items: { externalId: "m" } });
  const mark = (await get(`/marks/${written.body.result.id}`)).body;
  assert.equal(mark.provenance.plugin, "acme.probe");
  assert.equal(mark.provenance.execution, written.body.executionId);
});

test("filters as parameters and as JSON find the same rows", async () => {
  for (const [query, expected] of [
    ["", "123"],
    ["displayName=Bob", "2"],
    ["score=5", "1"],
    ["score[gte]=7", "23"],
    ["score[gt]=5&score[lt]=50", "3"],
    ["score[in]=5,7", "13"],
    ["displayName[ne]=Bob", "13"],
    ["displayName[startsWith]=A", "1"],
    ["company=true", "2"],
    ["tags=vip", "1"],
    ["emails.address=ada@example.com", "1"],
    ["birthday[exists]=true", "3"],
    ["text=love%20ada", "1"],
    ["externalId=2&source=book", "2"],
    ["provenance.plugin=api", "123"],
    [`filter=${encodeURIComponent('{"$or": [{"score": 5}, {"displayName": "Cy"}]}')}`, "13"],
    [`score[lt]=50&filter=${encodeURIComponent('{"score": {"$gt": 5}}')}`, "3"],
  ] as const)
    assert.equal(await listed(query), expected, query);
});

test("wrong filters, orders, cursors and items are 400 with the place named", async () => {
  for (const [query, path] of [
    ["filter=nope", "filter"],
    ["score[above]=7", "score[above]"],
    ["filter=[]", "filter"],
    [`filter=${encodeURIComponent('{"a": {"$regex": 1}}')}`, "filter.$and.0.a.$regex"],
    ["limit=0", "limit"],
    ["count=maybe", "count"],
    ["orderBy=a..b", "orderBy"],
    ["text=%20", "filter.$and.0.$text"],
    ["createdAt[gt]=soon", "filter.$and.0.createdAt.$gt"],
  ] as const) {
    const { status, body, text } = await get(`/contacts?${query}`);
    assert.equal(status, 400, text);
    assert.deepEqual([body.code, body.errors[0].path], ["invalid_input", path]);
  }
  assert.equal((await get("/contacts?cursor=nonsense")).body.code, "invalid_cursor");
  assert.equal((await get("?cursor=nonsense")).body.code, "invalid_cursor");
  assert.equal((await get("/Contacts")).status, 400);
  const wrong = await send("POST", "/contacts", [{ displayName: "x" }, { birthday: "soon" }]);
  assert.deepEqual([wrong.status, wrong.body.errors[0].path], [400, "items.1.birthday"]);
  const text = await send("POST", "/contacts", JSON.stringify("text"));
  assert.deepEqual([text.status, text.body.errors[0].message], [400, "must be a row, or a list of 1 to 500 rows"]);
  for (const [body, path] of [
    [undefined, "items.0"],
    [[{ displayName: "x" }, {}], "items.1"],
  ] as const) {
    const empty = await send("POST", "/contacts", body);
    assert.deepEqual([empty.status, empty.body.errors[0].path], [400, path], "a row without fields is a mistake");
  }
});

test("pages follow the cursor to the end and tell the count when asked", async () => {
  const seen: string[] = [];
  let cursor = "";
  do {
    const { body } = await get(`/contacts?limit=2&count=true&orderBy=-displayName${cursor && `&cursor=${cursor}`}`);
    assert.deepEqual([body.count, body.countCapped], [3, false]);
    seen.push(...body.entities.map(({ externalId }: { externalId: string }) => externalId));
    cursor = body.nextCursor ?? "";
  } while (cursor !== "");
  assert.deepEqual(seen, ["3", "2", "1"]);
});

test("a deleted row is gone from lists until it is asked for or brought back", async () => {
  const { id } = (await send("POST", "/marks", { externalId: "d" })).body.entities[0];
  assert.equal((await send("DELETE", `/marks/${id}`)).status, 204);
  assert.equal((await send("DELETE", `/marks/${id}`)).status, 404);
  assert.equal((await get(`/marks/${id}`)).status, 404);
  assert.ok((await get(`/marks/${id}?includeDeleted=true`)).body.deletedAt);
  assert.equal((await get("/marks?includeDeleted=true&externalId=d")).body.entities.length, 1);
  assert.equal((await send("POST", `/marks/${id}/restore`)).body.id, id);
  assert.equal((await get(`/marks/${id}`)).status, 200);
  assert.equal((await send("POST", "/marks/nobody/restore")).status, 404);
});

test("two contacts are linked as one person and parted again", async () => {
  const [a, b] = (await get("/contacts?limit=2")).body.entities.map(({ id }: { id: string }) => id);
  const linked = await send("POST", `/contacts/${a}/link`, { ids: [b] });
  assert.equal(linked.status, 200, linked.text);
  assert.deepEqual((await get(`/contacts/${b}`)).body.linkedIds, [a]);
  assert.equal((await send("POST", `/contacts/${a}/unlink`)).status, 200);
  assert.equal((await get(`/contacts/${b}`)).body.linkedIds, undefined);
  assert.equal((await send("POST", `/contacts/${a}/link`, { ids: ["nobody"] })).status, 404);
});

test("types come with counts and the schema of those the model has", async () => {
  const { types } = (await get("")).body;
  const named = new Map(types.map((row: { type: string }) => [row.type, row])) as Map<string, Record<string, never>>;
  assert.equal(named.get("contacts")!["count"], 3);
  assert.equal((named.get("contacts")!["schema"] as unknown as { title: string }).title, "Contact");
  assert.equal(named.get("marks")!["schema"], null);
  assert.equal(named.get("voicemails")!["count"], 0);
});

test("a viewer reads and does not write; another organisation finds nothing", async () => {
  const [{ id }] = (await get("/contacts?limit=1")).body.entities;
  for (const [method, path, body] of [
    ["POST", "/contacts", {}],
    ["DELETE", `/contacts/${id}`, undefined],
    ["POST", `/contacts/${id}/restore`, undefined],
    ["POST", `/contacts/${id}/link`, { ids: [id] }],
    ["POST", `/contacts/${id}/unlink`, undefined],
  ] as const) {
    const request = { token: acme.viewerKey, ...(body === undefined ? {} : { body }) };
    assert.equal((await hub.request(method, `/api/entities${path}`, request)).status, 403, `${method} ${path}`);
    if (path === "/contacts") continue;
    assert.equal((await send(method, path, body, globex)).status, 404, `${method} ${path}`);
  }
  assert.equal((await get(`/contacts/${id}`, globex)).status, 404);
  assert.deepEqual((await get("/contacts", globex)).body.entities, []);
});

test("a plugin pages, counts and deletes what its grants cover, and is told what is wrong with a filter", async () => {
  const code = `export default { functions: { async run({ method, args }, ctx) {
    try { return { value: await ctx.data[method](...args) }; } catch (error) { return { code: error.code, message: error.message }; }
  } } };`;
  const permissions = ["data:read:notes", "data:write:notes", "data:read:contacts"];
  const contributes = { functions: [{ name: "run", description: "x" }] };
  await hub.install("acme", { manifest: { id: "acme.data", permissions, contributes }, code });
  const run = async (method: string, ...args: unknown[]) =>
    (await hub.call("acme", "acme.data", "run", { method, args })).body.result;
  const { value: rows } = await run(
    "upsert",
    "notes",
    [1, 2, 3].map((n) => ({ externalId: `n${n}`, n })),
  );
  const page = (await run("page", "notes", { n: { $gte: 2 } }, { limit: 1, orderBy: "n", count: true })).value;
  assert.deepEqual([page.items[0].n, page.count, page.countCapped], [2, 2, false]);
  assert.equal(
    (await run("page", "notes", { n: { $gte: 2 } }, { orderBy: "n", cursor: page.nextCursor })).value.items[0].n,
    3,
  );
  assert.deepEqual(await run("count", "notes", { n: 1 }), { value: 1 });
  assert.deepEqual(await run("delete", "notes", rows[0].id), { value: 1 });
  assert.deepEqual(await run("count", "notes"), { value: 2 });
  for (const [method, ...args] of [
    ["page", "tasks"],
    ["count", "tasks"],
    ["query", "tasks"],
    ["getById", "tasks", "x"],
    ["delete", "contacts", "x"],
    ["upsert", "contacts", {}],
  ] as const)
    assert.equal((await run(method, ...args)).code, "permission_denied", method);
  const wrong = await run("query", "notes", { n: { $near: 1 } });
  assert.equal(wrong.code, "ability_input");
  assert.match(wrong.message, /filter\.n\.\$near/);
  assert.match((await run("upsert", "notes", [{}, { tags: 7 }])).message, /items\.1\.tags/);
});
