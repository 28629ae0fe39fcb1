import assert from "node:assert/strict";
import { test } from "node:test";
import { createAudit } from "../audit/audit.ts";
import { asOrganizationId } from "../base/brands.ts";
import { sleep } from "../base/deferred.ts";
import { BackplaneError } from "../errors/error.ts";
import { openStore } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import { type Access, createAccess, type Principal } from "./access.ts";
import { atLeast, type Role } from "./principal.ts";

const adminToken = "the-admin-token";
const acme = asOrganizationId("acme");
const actor = "hub_admin";
const code = (expected: string) => (error: unknown) => error instanceof BackplaneError && error.code === expected;
const bearer = (key: string): string => `Bearer ${key}`;

interface SetUp extends AsyncDisposable {
  store: TestStore;
  access: Access;
  /** Statements sent to the database. */
  statements: { count: number };
}

async function setUp(
  options: { driver?: "pglite" | "postgres"; cacheMs?: number; flushMs?: number } = {},
): Promise<SetUp> {
  const store = await openTestStore({ driver: options.driver ?? "pglite" });
  const access = accessOn(store, options);
  await access.createOrganization({ id: "acme", name: "Acme", actor });
  const statements = { count: 0 };
  const select = store.db.selectFrom.bind(store.db);
  Object.assign(store.db, {
    selectFrom: (table: "api_keys") => {
      statements.count += 1;
      return select(table);
    },
  });
  return {
    store,
    access,
    statements,
    async [Symbol.asyncDispose]() {
      await access.close();
      await store[Symbol.asyncDispose]();
    },
  };
}

const accessOn = (store: Store, options: { cacheMs?: number; flushMs?: number } = {}): Access =>
  createAccess({ store, audit: createAudit({ store }), adminToken, ...options });

test("the admin token and a key are recognised; anything else is nobody", async () => {
  await using it = await setUp();
  const made = await it.access.createKey({ organization: acme, name: "CI", role: "member", actor });
  assert.deepEqual(await it.access.authenticate(bearer(adminToken)), { kind: "hub_admin" });
  const principal: Principal = { kind: "key", organization: acme, role: "member", keyId: made.id };
  assert.deepEqual(await it.access.authenticate(`bearer  ${made.key}`), principal);
  assert.deepEqual(await it.access.authenticateToken(made.key), principal);
  const others = [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    adminToken,
    made.key,
    `Basic ${made.key}`,
    bearer(`${adminToken}x`),
    bearer(`${made.key}x`),
    bearer(`bp_${"A".repeat(43)}`),
    bearer("\u0000"),
    `Bearer ${made.key} ${made.key}`,
  ];
  for (const authorization of others)
    assert.equal(await it.access.authenticate(authorization), undefined, authorization);
});

test("an empty admin token lets nobody in", async () => {
  await using it = await setUp();
  const access = createAccess({ store: it.store, audit: createAudit({ store: it.store }), adminToken: "" });
  assert.equal(await access.authenticateToken(""), undefined);
  assert.equal(await access.authenticate("Bearer "), undefined);
});

test("the key itself is kept nowhere: neither in its row, nor in the list, nor in the audit log", async () => {
  await using it = await setUp();
  const made = await it.access.createKey({ organization: acme, name: "CI", role: "admin", actor });
  const everything = JSON.stringify([
    await it.store.db.selectFrom("api_keys").selectAll().execute(),
    await it.store.db.selectFrom("audit_log").selectAll().execute(),
    await it.access.listKeys(acme),
  ]);
  assert.ok(!everything.includes(made.key) && !everything.includes(made.key.slice(3)));
  assert.match(made.key, /^bp_[A-Za-z0-9_-]{43}$/);
});

test("a removed key ends at once, its removal is audited, and removing it again is not_found", async () => {
  await using it = await setUp();
  const made = await it.access.createKey({ organization: acme, name: "CI", role: "viewer", actor });
  assert.ok(await it.access.authenticateToken(made.key));
  await assert.rejects(
    it.access.deleteKey({ organization: asOrganizationId("other"), keyId: made.id, actor }),
    code("not_found"),
  );
  await it.access.deleteKey({ organization: acme, keyId: made.id, actor });
  assert.equal(await it.access.authenticateToken(made.key), undefined);
  await assert.rejects(it.access.deleteKey({ organization: acme, keyId: made.id, actor }), code("not_found"));
  const audit = createAudit({ store: it.store });
  assert.deepEqual(
    (await audit.list("acme")).entries.map((entry) => entry.action),
    ["api_key.removed", "api_key.created", "organization.created"],
  );
  assert.equal((await audit.verifyChain("acme")).valid, true);
});

test("a hundred requests with one key ask the database once, a made-up key once too", async () => {
  await using it = await setUp();
  const { key } = await it.access.createKey({ organization: acme, name: "CI", role: "viewer", actor });
  for (const token of [key, `bp_${"x".repeat(43)}`]) {
    it.statements.count = 0;
    await Promise.all(Array.from({ length: 50 }, () => it.access.authenticateToken(token)));
    for (let n = 0; n < 50; n += 1) await it.access.authenticateToken(token);
    assert.equal(it.statements.count, 1);
  }
});

test("a remembered key is asked for again when its time is over", async () => {
  await using it = await setUp({ cacheMs: 30 });
  const { key } = await it.access.createKey({ organization: acme, name: "CI", role: "viewer", actor });
  await it.access.authenticateToken(key);
  await it.store.db.updateTable("api_keys").set({ role: "admin" }).execute();
  await sleep(50);
  const principal = await it.access.authenticateToken(key);
  assert.equal(principal?.kind === "key" && principal.role, "admin");
});

test("a lookup that began before a removal is not remembered after it", async () => {
  await using it = await setUp();
  const made = await it.access.createKey({ organization: acme, name: "CI", role: "viewer", actor });
  const [, early] = await Promise.all([
    it.access.deleteKey({ organization: acme, keyId: made.id, actor }),
    it.access.authenticateToken(made.key),
  ]);
  assert.ok(early === undefined || early.kind === "key");
  assert.equal(await it.access.authenticateToken(made.key), undefined);
});

test("last use is written in batches and at close", async () => {
  await using it = await setUp({ flushMs: 30 });
  const first = await it.access.createKey({ organization: acme, name: "one", role: "viewer", actor });
  const second = await it.access.createKey({ organization: acme, name: "two", role: "viewer", actor });
  const before = Date.now();
  await it.access.authenticateToken(first.key);
  await sleep(150);
  const listed = (await it.access.listKeys(acme)).apiKeys;
  assert.deepEqual(
    listed.map((key) => key.name),
    ["two", "one"],
    "newest first",
  );
  assert.ok(Date.parse(listed[1]!.lastUsedAt!) >= before);
  assert.equal(listed[0]!.lastUsedAt, null);
  await it.access.authenticateToken(second.key);
  await it.access.close();
  assert.ok((await it.access.listKeys(acme)).apiKeys[0]!.lastUsedAt);
});

test("organisation ids outside the grammar are refused by field, an existing one is a conflict", async () => {
  await using it = await setUp();
  for (const id of [
    "",
    "*",
    "-a",
    "A",
    "a_b",
    "a.b",
    "a b",
    "ü",
    "a".repeat(64),
    "../x",
    "a\n",
    7 as unknown as string,
  ]) {
    await assert.rejects(
      it.access.createOrganization({ id, name: "x", actor }),
      (error) => code("invalid_input")(error) && (error as BackplaneError).errors?.[0]?.path === "id",
    );
  }
  await assert.rejects(it.access.createOrganization({ id: "ok", name: " ", actor }), code("invalid_input"));
  await assert.rejects(it.access.createOrganization({ id: "acme", name: "Again", actor }), code("conflict"));
  assert.equal(await it.access.ensureOrganization({ id: "acme", name: "Again", actor }), false);
  for (const id of ["0", "a".repeat(63), "a-", "demo"])
    assert.equal((await it.access.createOrganization({ id, name: "x", actor })).id, id);
});

test("of ten that create the same organisation at once one succeeds", async () => {
  await using it = await setUp();
  const tries = await Promise.allSettled(
    Array.from({ length: 10 }, () => it.access.createOrganization({ id: "race", name: "x", actor })),
  );
  assert.equal(tries.filter((result) => result.status === "fulfilled").length, 1);
  assert.ok(tries.every((result) => result.status === "fulfilled" || code("conflict")(result.reason)));
});

test("a key for an unknown organisation is not_found, with an unknown role invalid_input", async () => {
  await using it = await setUp();
  await assert.rejects(
    it.access.createKey({ organization: asOrganizationId("nobody"), name: "x", role: "viewer", actor }),
    code("not_found"),
  );
  await assert.rejects(
    it.access.createKey({ organization: acme, name: "x", role: "owner" as Role, actor }),
    code("invalid_input"),
  );
});

test("lists come newest first in pages that lose nothing, even when all were made in one instant", async () => {
  await using it = await setUp();
  await it.store.transaction(async (tx) => {
    for (let n = 0; n < 5; n += 1)
      await tx
        .insertInto("organizations")
        .values({ id: `same-${n}`, name: "x" })
        .execute();
  });
  for (let n = 0; n < 5; n += 1) {
    await it.access.createOrganization({ id: `later-${n}`, name: "x", actor });
    await it.access.createKey({ organization: acme, name: `key-${n}`, role: "viewer", actor });
  }
  const ids: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await it.access.listOrganizations({ limit: 2, cursor });
    ids.push(...page.organizations.map((organization) => organization.id));
    if (page.nextCursor === null) break;
    cursor = page.nextCursor;
  }
  assert.equal(new Set(ids).size, 11);
  assert.equal(ids.length, 11);
  assert.equal(ids.at(-1), "acme");
  const names: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await it.access.listKeys(acme, { limit: 2, cursor });
    names.push(...page.apiKeys.map((key) => key.name));
    if (page.nextCursor === null) break;
    cursor = page.nextCursor;
  }
  assert.deepEqual(names, ["key-4", "key-3", "key-2", "key-1", "key-0"]);
  await assert.rejects(it.access.listOrganizations({ cursor: "zzz" }), code("invalid_cursor"));
});

test("a removed organisation takes its keys and rows along, keeps its audit log, and is refused while plugins are installed", async () => {
  await using it = await setUp();
  const { key } = await it.access.createKey({ organization: acme, name: "CI", role: "admin", actor });
  assert.ok(await it.access.authenticateToken(key));
  assert.equal(await it.access.organizationExists("acme"), true);
  await it.store.db
    .insertInto("files")
    .values({
      organization_id: "acme",
      plugin_id: "p",
      path: "f",
      content_type: "text/plain",
      size: 1,
      bytes: Buffer.from("x"),
    })
    .execute();
  await it.access.removeOrganization({ id: "acme", actor });
  for (let n = 0; n < 100 && (await it.access.organizationExists("acme")); n += 1) await sleep(10);
  assert.equal(await it.access.organizationExists("acme"), false);
  assert.equal(await it.access.authenticateToken(key), undefined);
  assert.deepEqual(await it.store.db.selectFrom("files").selectAll().execute(), []);
  assert.equal((await createAudit({ store: it.store }).list("acme")).entries[0]!.action, "organization.removed");
  await assert.rejects(it.access.removeOrganization({ id: "acme", actor }), code("not_found"));
});

test("roles rank viewer, member, admin", () => {
  const roles: Role[] = ["viewer", "member", "admin"];
  assert.deepEqual(
    roles.map((role) => roles.map((needed) => atLeast(role, needed))),
    [
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ],
  );
});

test("a key removed on one hub ends on the other", async (t) => {
  if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
  const store = await openTestStore({ driver: "postgres" });
  const other = await openStore({ databaseUrl: store.databaseUrl });
  const [one, two] = [accessOn(store), accessOn(other)];
  await one.createOrganization({ id: "acme", name: "Acme", actor });
  const made = await one.createKey({ organization: acme, name: "CI", role: "viewer", actor });
  assert.ok(await two.authenticateToken(made.key));
  await one.deleteKey({ organization: acme, keyId: made.id, actor });
  const began = Date.now();
  while (await two.authenticateToken(made.key)) {
    assert.ok(Date.now() - began < 2000, "still valid after 2 s");
    await sleep(5);
  }
  await one.close();
  await two.close();
  await other.close();
  await store[Symbol.asyncDispose]();
});
