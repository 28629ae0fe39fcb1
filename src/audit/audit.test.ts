import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawBuilder, sql } from "kysely";
import { BackplaneError } from "../errors/error.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import { type Audit, createAudit } from "./audit.ts";
import { canonicalJson } from "./chain.ts";

const drivers = ["pglite", ...(process.env["TEST_DATABASE_URL"] ? (["postgres"] as const) : [])] as const;

async function setUp(
  driver: "pglite" | "postgres" = "pglite",
): Promise<{ store: TestStore; audit: Audit } & AsyncDisposable> {
  const store = await openTestStore({ driver });
  return { store, audit: createAudit({ store }), [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

const note = (organization: string, target: string, details: Record<string, unknown> = {}) => ({
  organization,
  actor: "hub_admin",
  action: "thing.done",
  target,
  details,
});

const write = ({ store, audit }: { store: TestStore; audit: Audit }, count: number, organization = "org") =>
  store.transaction(async (tx) => {
    for (let n = 1; n <= count; n += 1) await audit.record(tx, note(organization, `t${n}`, { n }));
  });

for (const driver of drivers) {
  test(`entries written at once by many transactions form one unbroken chain per organisation (${driver})`, async () => {
    await using it = await setUp(driver);
    await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        it.store.transaction(async (tx) => {
          await it.audit.record(tx, note(`org-${n % 2}`, `t${n}`));
        }),
      ),
    );
    for (const organization of ["org-0", "org-1"]) {
      const verdict = await it.audit.verifyChain(organization);
      assert.deepEqual([verdict.valid, verdict.entries], [true, 20]);
    }
  });
}

test("a record rolls back with its transaction and leaves no gap", async () => {
  await using it = await setUp();
  await write(it, 1);
  await assert.rejects(
    it.store.transaction(async (tx) => {
      await it.audit.record(tx, note("org", "undone"));
      throw new Error("undone");
    }),
  );
  await write(it, 1);
  assert.deepEqual(
    (await it.audit.list("org")).entries.map((entry) => entry.seq),
    [2, 1],
  );
  assert.equal((await it.audit.verifyChain("org")).valid, true);
});

test("details of any shape keep their hash through the database", async () => {
  await using it = await setUp();
  const details = {
    z: 1,
    a: [1.5e300, -0, 1e-7, null, { y: undefined, x: "nul \0 lone \ud800 pair \ud83d\ude00" }],
    é: new Date(0),
    n: Number.NaN,
  };
  await it.store.transaction((tx) => it.audit.record(tx, { ...note("org", "t\0arget", details), traceId: "abc" }));
  assert.equal((await it.audit.verifyChain("org")).valid, true);
});

test("every kind of tampering is found, and named by its entry", async (t) => {
  const attacks: [string, RawBuilder<unknown>, number][] = [
    ["a changed detail", sql`update audit_log set details = '{"n": 99}' where seq = 3`, 3],
    ["a changed actor", sql`update audit_log set actor = 'key:other' where seq = 3`, 3],
    ["a changed time", sql`update audit_log set at = at + interval '1 millisecond' where seq = 3`, 3],
    ["an added trace id", sql`update audit_log set trace_id = 'x' where seq = 3`, 3],
    ["a removed entry", sql`delete from audit_log where seq = 3`, 3],
    ["a removed first entry", sql`delete from audit_log where seq = 1`, 1],
    [
      "a removed entry, the later ones moved up",
      sql`do $$ begin delete from audit_log where seq = 5; update audit_log set seq = 5 where seq = 6; end $$`,
      5,
    ],
    ["two swapped entries", sql`update audit_log a set seq = 100 + a.seq where a.seq in (2, 3)`, 2],
    [
      "an entry of another organisation",
      sql`update audit_log set organization_id = 'org' , seq = 7 where organization_id = 'other' and seq = 1`,
      7,
    ],
    ["a changed hash", sql`update audit_log set hash = ${"f".repeat(64)} where seq = 6`, 6],
  ];
  for (const [title, attack, seq] of attacks) {
    await t.test(title, async () => {
      await using it = await setUp();
      await write(it, 6);
      await write(it, 1, "other");
      await attack.execute(it.store.db);
      const verdict = await it.audit.verifyChain("org");
      assert.deepEqual([verdict.valid, verdict.fault?.seq], [false, seq]);
    });
  }
});

test("a cut-off or wholly rewritten log shows against a head noted before", async () => {
  await using it = await setUp();
  await write(it, 3);
  const { head } = await it.audit.verifyChain("org");
  await write(it, 1);
  assert.equal((await it.audit.verifyChain("org", head)).valid, true);
  await sql`delete from audit_log where seq >= 3`.execute(it.store.db);
  assert.equal((await it.audit.verifyChain("org")).valid, true, "the chain alone cannot tell");
  assert.equal((await it.audit.verifyChain("org", head)).valid, false);
  await write(it, 2);
  assert.match((await it.audit.verifyChain("org", head)).fault!.reason, /rewritten/);
});

test("the list comes newest first, in pages without gaps, filtered, and only the organisation's own", async () => {
  await using it = await setUp();
  await write(it, 7);
  await write(it, 2, "other");
  const seen: number[] = [];
  let cursor: string | null | undefined;
  do {
    const page = await it.audit.list("org", { limit: 3, cursor: cursor ?? undefined });
    seen.push(...page.entries.map((entry) => entry.seq));
    cursor = page.nextCursor;
  } while (cursor);
  assert.deepEqual(seen, [7, 6, 5, 4, 3, 2, 1]);
  assert.deepEqual(
    (await it.audit.list("org", { target: "t4" })).entries.map((entry) => entry.details),
    [{ n: 4 }],
  );
  await assert.rejects(
    it.audit.list("org", { cursor: "nonsense" }),
    (error) => error instanceof BackplaneError && error.code === "invalid_cursor",
  );
});

test("canonical JSON does not depend on the order of keys", () => {
  assert.equal(canonicalJson({ b: [{ d: 1, c: null }], a: "x" }), canonicalJson({ a: "x", b: [{ c: null, d: 1 }] }));
});
