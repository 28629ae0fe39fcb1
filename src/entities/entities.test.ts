import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { ref } from "../../plugin-api/src/model/entity-types.ts";
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import { createEventLog, type EventLog } from "../bus/event-log.ts";
import { BackplaneError } from "../errors/error.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import { createEntities, type Entities, type EntityChange, type EntityWrite } from "./entities.ts";

const organization = asOrganizationId("acme");
const write: EntityWrite = {
  organization,
  plugin: asPluginId("acme.crm"),
  execution: "exec-1",
  traceparent: "",
  eventDepth: 0,
};

const fault =
  (path: string | RegExp) =>
  (error: unknown): boolean =>
    error instanceof BackplaneError &&
    error.code === "invalid_input" &&
    (error.errors ?? []).some((one) => (typeof path === "string" ? one.path === path : path.test(one.path)));

for (const driver of ["pglite", "postgres"] as const)
  describe(driver, { skip: driver === "postgres" && !process.env["TEST_DATABASE_URL"] }, () => {
    let store: TestStore;
    let eventLog: EventLog;
    let entities: Entities;
    before(async () => {
      store = await openTestStore({ driver } as { driver: "pglite" });
      eventLog = createEventLog({ store });
      entities = createEntities({ store, eventLog });
    });
    after(() => store[Symbol.asyncDispose]());

    const batch = (changes: EntityChange[], by = write) =>
      store.transaction((tx) => entities.writeBatch(tx, by, changes));
    const item = (type: string, externalId: string, data: object, more: Partial<EntityChange> = {}): EntityChange => ({
      type,
      source: "acme.crm",
      externalId,
      data: data as Record<string, unknown>,
      ...more,
    });
    const byName = async (type: string, externalId: string) =>
      (await entities.query(organization, type, { externalId }))[0];
    const eventsSince = async (seq: number) =>
      (
        await sql<{ type: string; subject: string; data: Record<string, unknown>; source: string }>`
          select type, subject, data, source from events where seq > ${seq} order by seq`.execute(store.db)
      ).rows;
    const lastSeq = async (): Promise<number> =>
      (await sql<{ seq: number }>`select coalesce(max(seq), 0) as seq from events`.execute(store.db)).rows[0]!.seq;
    const fails = async (work: Promise<unknown>, path: string | RegExp): Promise<void> => {
      await assert.rejects(work, fault(path));
    };

    test("a batch creates, updates, deletes and leaves alone, and says only what changed", async () => {
      assert.deepEqual(
        await batch([
          item("contacts", "b1", { displayName: "Ada" }),
          item("contacts", "b2", { displayName: "Bob" }),
          item("acme_orders", "b3", { total: 3 }),
        ]),
        { created: 3, updated: 0, deleted: 0, unchanged: 0 },
      );
      const from = await lastSeq();
      const counts = await batch([
        item("contacts", "b1", { displayName: "Ada" }),
        item("contacts", "b2", { company: "Globex" }),
        item("acme_orders", "b3", {}, { deleted: true }),
        item("contacts", "b4", { displayName: "Dan" }),
        item("contacts", "nobody", {}, { deleted: true }),
      ]);
      assert.deepEqual(counts, { created: 1, updated: 1, deleted: 1, unchanged: 2 });
      const events = await eventsSince(from);
      assert.deepEqual(events.map(({ type }) => type).sort(), [
        "data.AcmeOrderDeleted",
        "data.ContactCreated",
        "data.ContactUpdated",
      ]);
      const updated = events.find(({ type }) => type === "data.ContactUpdated")!;
      const { createdAt, updatedAt, ...record } = updated.data["record"] as Record<string, unknown>;
      assert.deepEqual(record, {
        displayName: "Bob",
        company: "Globex",
        id: updated.subject,
        source: "acme.crm",
        externalId: "b2",
        version: 2,
      });
      assert.deepEqual(updated.data["changed"], ["company"]);
      assert.equal(updated.source, "/plugins/acme.crm");
      const row = (await byName("contacts", "b2"))!;
      assert.deepEqual([row["createdAt"], row["updatedAt"]], [createdAt, updatedAt]);
      const created = events.find(({ type }) => type === "data.ContactCreated")!;
      assert.deepEqual(created.data["record"], await byName("contacts", "b4"));
    });

    test("what was prepared ahead serves the write of the same changes once; a transaction tried again, and other changes, go without", async () => {
      const fresh = createEntities({ store, eventLog });
      const changes = [item("contacts", "a1", { displayName: "Ada" }), item("contacts", "a2", {}, { deleted: true })];
      const ahead = fresh.prepareBatch(write, changes);
      assert(ahead);
      const by = { ...write, ahead };
      const other = [item("contacts", "a3", { displayName: "Cy" })];
      const { created } = await store.transaction((tx) => fresh.writeBatch(tx, by, other));
      assert.equal(created, 1);
      const undone = store.transaction(async (tx) => {
        assert.equal((await fresh.writeBatch(tx, by, changes)).created, 1);
        throw new Error("undone");
      });
      await assert.rejects(undone, /undone/);
      assert.equal(await byName("contacts", "a1"), undefined);
      const from = await lastSeq();
      const counts = await store.transaction((tx) => fresh.writeBatch(tx, by, [...changes]));
      assert.deepEqual(counts, { created: 1, updated: 0, deleted: 0, unchanged: 1 });
      const [event, ...more] = await eventsSince(from);
      assert.deepEqual([event!.data["record"], more], [await byName("contacts", "a1"), []]);
      assert.equal(fresh.prepareBatch(write, [item("contacts", "a4", { displayName: 7 })]), undefined);
    });

    test("a row named twice in a batch is one row: the last value of each field wins, and one event tells of it", async () => {
      const from = await lastSeq();
      const counts = await batch([
        item("contacts", "d1", { displayName: "A", company: "x" }),
        item("contacts", "d2", { displayName: "gone" }),
        item("contacts", "d1", { displayName: "B" }),
        item("contacts", "d2", {}, { deleted: true }),
      ]);
      assert.deepEqual(counts, { created: 1, updated: 0, deleted: 0, unchanged: 1 });
      const row = (await byName("contacts", "d1"))!;
      assert.deepEqual([row["displayName"], row["company"], row["version"]], ["B", "x", 1]);
      assert.equal((await eventsSince(from)).length, 1);
    });

    test("a deleted row stays, hidden, and comes back when it is written again", async () => {
      await batch([item("contacts", "r1", { displayName: "Ada", company: "x" })]);
      const id = (await byName("contacts", "r1"))!.id;
      assert.equal(await entities.delete(write, "contacts", [id, "nobody"]), 1);
      assert.equal(await entities.delete(write, "contacts", [id]), 0);
      assert.equal(await byName("contacts", "r1"), undefined);
      assert.equal(await entities.getById(organization, "contacts", id), null);
      const [hidden] = await entities.query(organization, "contacts", { id }, { includeDeleted: true });
      assert.ok(hidden!["deletedAt"]);
      const from = await lastSeq();
      assert.deepEqual(await batch([item("contacts", "r1", { displayName: "Ada" })]), {
        created: 0,
        updated: 1,
        deleted: 0,
        unchanged: 0,
      });
      assert.deepEqual(
        (await eventsSince(from)).map(({ data }) => data["changed"]),
        [["deletedAt"]],
      );
      assert.equal((await byName("contacts", "r1"))!["company"], "x");
      await entities.delete(write, "contacts", [id]);
      assert.equal((await entities.restore(write, "contacts", id)).id, id);
      await assert.rejects(entities.restore(write, "contacts", "nobody"), { code: "not_found" });
    });

    test("references become ids: of the same batch in any order, of stored rows, of another source; else null", async () => {
      await batch([
        item("accounts", "stored", { name: "S" }),
        { ...item("accounts", "other", { name: "O" }), source: "acme.crm:bank" },
      ]);
      await batch([
        item("transactions", "t1", { accountId: ref("accounts", "new"), amount: 1 }),
        item("accounts", "new", { name: "N" }),
        item("transactions", "t2", { accountId: ref("accounts", "stored"), deep: { list: [ref("accounts", "new")] } }),
        item("transactions", "t3", { accountId: ref("accounts", "other", "acme.crm:bank") }),
        item("transactions", "t4", { accountId: ref("accounts", "nowhere") }),
        item("transactions", "t1", { accountId: ref("accounts", "stored") }),
      ]);
      const [fresh, stored] = [(await byName("accounts", "new"))!.id, (await byName("accounts", "stored"))!.id];
      assert.equal((await byName("transactions", "t1"))!["accountId"], stored);
      assert.deepEqual((await byName("transactions", "t2"))!["deep"], { list: [fresh] });
      assert.ok((await byName("transactions", "t3"))!["accountId"]);
      assert.equal((await byName("transactions", "t4"))!["accountId"], null);
      await fails(batch([item("transactions", "t5", { accountId: { $ref: 7 } })]), "changes.0.data.accountId");
    });

    test("tags that others set or took away survive what the source says, and the source's own follow it", async () => {
      const tagsOf = async () => (await byName("contacts", "g1"))!["tags"];
      await batch([item("contacts", "g1", { displayName: "A", tags: ["crm", "old"] })]);
      const { id } = (await byName("contacts", "g1"))!;
      await entities.upsert(write, "contacts", [{ id, tags: ["crm", "vip"] }]);
      await batch([item("contacts", "g1", { tags: ["crm", "old", "new"] })]);
      assert.deepEqual(await tagsOf(), ["crm", "vip", "new"], "old was taken away by hand and is not new");
      await batch([item("contacts", "g1", { displayName: "B" })]);
      await batch([item("contacts", "g1", { tags: [] })]);
      assert.deepEqual(await tagsOf(), ["vip"]);
      const from = await lastSeq();
      await batch([item("contacts", "g1", { tags: ["vip"] })]);
      assert.deepEqual(await eventsSince(from), [], "what changes nothing to be seen is no event");
      await batch([item("contacts", "g1", { tags: [] })]);
      assert.deepEqual(await tagsOf(), [], "it was the source's own by then");
    });

    test("known fields are checked and their times normalised; unknown fields and types are kept", async () => {
      await batch([
        item("messages", "m1", { sentAt: "2026-01-31T10:00:00+01:00", mood: { any: [1] }, to: ["+1"], subject: null }),
      ]);
      const row = (await byName("messages", "m1"))!;
      assert.deepEqual([row["sentAt"], row["mood"], row["subject"]], ["2026-01-31T09:00:00.000Z", { any: [1] }, null]);
      await fails(
        batch([item("contacts", "k", {}), item("contacts", "k2", { emails: [{ address: "a" }, { address: 7 }] })]),
        "changes.1.data.emails.1.address",
      );
      for (const [type, data, path] of [
        ["messages", { sentAt: "yesterday" }, "sentAt"],
        ["messages", { sentAt: "2026-02-30T10:00:00Z" }, "sentAt"],
        ["messages", { direction: "sideways" }, "direction"],
        ["transactions", { amount: "1" }, "amount"],
        ["transactions", { date: "2026-02-30" }, "date"],
        ["foods", { nutrients: { fatG: true } }, "nutrients.fatG"],
        ["acme_x", { tags: [1] }, "tags"],
        ["acme_x", { n: Number.NaN }, "n"],
      ] as const)
        await fails(batch([item(type, "k", data)]), `changes.0.data.${path}`);
      await fails(entities.upsert(write, "contacts", [{ displayName: 7 }]), "items.0.displayName");
    });

    test("hostile data is refused or cleaned, and what was cleaned equals itself the next time", async () => {
      const odd = { text: "a\0b\ud800", minus: -0, "k\0": 1, when: new Date(0) };
      await batch([item("acme_x", "o1", odd)]);
      assert.deepEqual((await batch([item("acme_x", "o1", odd)])).unchanged, 1);
      let deep: unknown = 1;
      for (let i = 0; i < 100; i++) deep = [deep];
      await fails(batch([item("acme_x", "o2", { deep })]), /^changes\.0\.data\.deep/);
      await fails(batch([item("acme_x", "o2", { big: "x".repeat(300_000) })]), "changes.0.data");
      await fails(batch([item("acme_x", "o2", { many: Array.from({ length: 30_000 }, () => 0) })]), "changes.0.data");
      for (const field of ["a", "b"]) await batch([item("acme_x", "grown", { [field]: "x".repeat(250_000) })]);
      await fails(batch([item("acme_x", "grown", { c: "x".repeat(250_000) })]), "changes.0.data");
      const parts = Array.from({ length: 3 }, (_, n) => item("acme_x", "parts", { [`p${n}`]: "x".repeat(250_000) }));
      await fails(batch(parts), "changes.0.data");
      // Small writes to fields that are there add up as well.
      await batch([item("acme_x", "grown", { b: null, small: "" })]);
      for (let n = 0; n < 80; n++) await batch([item("acme_x", "grown", { [`k${n}`]: "x".repeat(3_000) })]);
      const swells = async () => {
        for (let n = 0; n < 80; n++) await batch([item("acme_x", "grown", { [`k${n}`]: "y".repeat(3_900) })]);
      };
      await fails(swells(), "changes.0.data");
      await fails(batch([item("Bad Type", "o2", {})]), "changes.0.type");
      await fails(batch([item("acme_x", "", {})]), "changes.0.externalId");
      await fails(batch(Array.from({ length: 1001 }, (_, i) => item("acme_x", `n${i}`, {}))), "changes");
      await batch([
        item("acme_x", "o3", JSON.parse('{"__proto__": {"x": 1}, "id": "mine", "version": 9, "ok": true}')),
      ]);
      const row = (await byName("acme_x", "o3"))!;
      assert.deepEqual([row["ok"], row["version"], row.id === "mine"], [true, 1, false]);
    });

    test("an id and an external id of different rows are refused", async () => {
      const [a, b] = await entities.upsert(write, "marks", [{ externalId: "c1" }, { externalId: "c2" }]);
      await fails(entities.upsert(write, "marks", [{ id: a!.id, externalId: "c2" }]), "items.0");
      await fails(entities.upsert(write, "marks", [{ id: b!.id, externalId: "c3" }]), "items.0");
      assert.equal((await entities.upsert(write, "marks", [{ id: a!.id, externalId: "c1", x: 1 }]))[0]!["x"], 1);
    });

    test("provenance tells which plugin and which execution wrote last; a write that changes nothing is none", async () => {
      const [row] = await entities.upsert(write, "marks", [{ externalId: "p1", a: 1 }]);
      const other = { ...write, plugin: asPluginId("acme.other"), execution: "exec-2" };
      await entities.upsert(other, "marks", [{ id: row!.id, a: 1 }]);
      const of = async () => (await entities.provenance(organization, "marks", [row!.id])).get(row!.id)!;
      assert.deepEqual([(await of()).plugin, (await of()).execution], ["acme.crm", "exec-1"]);
      await entities.upsert(other, "marks", [{ id: row!.id, a: 2 }]);
      assert.deepEqual([(await of()).plugin, (await of()).execution], ["acme.other", "exec-2"]);
      assert.equal((await entities.query(organization, "marks", { "provenance.plugin": "acme.other" })).length, 1);
    });

    test("filters: equality, ranges, lists, nested fields, text, and, or, not", async () => {
      const type = "contacts";
      const org = asOrganizationId("filters");
      const by = { ...write, organization: org };
      await entities.upsert(by, type, [
        {
          externalId: "1",
          displayName: "Ada Lovelace",
          birthday: "1815-12-10",
          emails: [{ address: "ada@example.com", label: "home" }],
          score: 5,
          flag: true,
          notes: "counts cards",
          tags: ["vip", "math"],
        },
        {
          externalId: "2",
          displayName: "Bob",
          familyName: "Builder",
          jobTitle: "Foreman",
          birthday: "1990-01-01",
          phones: [{ number: "+15550001" }],
          score: 50,
          flag: false,
          company: "Acme Ltd",
        },
        { externalId: "3", displayName: "Cy", score: "5", address: { city: "Paris" }, emails: [] },
      ]);
      const find = async (filter: object) =>
        (await entities.query(org, type, filter, { orderBy: "externalId" })).map((row) => row["externalId"]).join("");
      for (const [filter, expected] of [
        [{}, "123"],
        [{ displayName: "Bob" }, "2"],
        [{ score: 5 }, "1"],
        [{ score: { $gte: 5 } }, "12"],
        [{ score: { $gt: 5, $lt: 100 } }, "2"],
        [{ score: { $gte: "5" } }, "3"],
        [{ score: { $in: [5, "5"] } }, "13"],
        [{ birthday: { $lt: "1900-01-01" } }, "1"],
        [{ birthday: { $exists: false } }, "3"],
        [{ birthday: null }, "3"],
        [{ flag: false }, "2"],
        [{ flag: { $ne: true } }, "23"],
        [{ "emails.address": "ada@example.com" }, "1"],
        [{ emails: [{ address: "ada@example.com" }] }, "1"],
        [{ "phones.number": { $in: ["+15550001", "+2"] } }, "2"],
        [{ "address.city": "Paris" }, "3"],
        [{ address: { city: "Paris" } }, "3"],
        [{ "address.city": { $startsWith: "Pa" } }, "3"],
        [{ displayName: { $startsWith: "A" } }, "1"],
        [{ displayName: { $contains: "LOVE" } }, "1"],
        [{ tags: "vip" }, "1"],
        [{ tags: { $contains: "math" } }, "1"],
        [{ tags: ["vip", "nope"] }, ""],
        [{ $text: "ada love" }, "1"],
        [{ $text: "acme" }, "2"],
        [{ $text: "build foreman" }, "2"],
        [{ $text: "ada@exam" }, "1"],
        [{ $text: "o'\\br & | ! <-> (" }, ""],
        [{ $or: [{ displayName: "Bob" }, { displayName: "Cy" }] }, "23"],
        [{ $and: [{ score: { $gte: 1 } }, { $not: { displayName: "Bob" } }] }, "1"],
        [{ $not: { birthday: { $lt: "1900-01-01" } } }, "23"],
        [{ externalId: { $in: ["1", "3"] } }, "13"],
        [{ source: "acme.crm", externalId: "2" }, "2"],
        [{ version: { $lte: 1 } }, "123"],
        [{ createdAt: { $gt: "2020-01-01" } }, "123"],
        [{ createdAt: { $lt: "2020-01-01T00:00:00Z" } }, ""],
        [{ "x') or true --": 1 }, ""],
        [{ displayName: "'; drop table entities; --" }, ""],
      ] as [object, string][])
        assert.equal(await find(filter), expected, JSON.stringify(filter));
      assert.equal(await entities.count(org, type, { score: { $gte: 5 } }), 2);
      assert.equal((await entities.query(org, "acme_notes", { $text: "hello" })).length, 0);
    });

    test("hostile filters are refused with the place named", async () => {
      const nested = (levels: number): object => (levels === 0 ? { a: 1 } : { $and: [nested(levels - 1)] });
      for (const [filter, path] of [
        [nested(10), /^filter\.\$and\.0/],
        [Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f${i}`, i])), /^filter\.f50$/],
        [{ $or: Array.from({ length: 60 }, () => ({ a: 1 })) }, "filter.$or"],
        [{ a: "x".repeat(20_000) }, "filter"],
        [{ a: { $in: Array.from({ length: 300 }, () => 1) } }, "filter.a.$in"],
        [{ a: { $regex: ".*" } }, "filter.a.$regex"],
        [{ a: { $gt: 1, b: 2 } }, "filter.a"],
        [{ a: { $gt: {} } }, "filter.a.$gt"],
        [{ $where: "1" }, "filter.$where"],
        [{ "a..b": 1 }, "filter.a..b"],
        [{ "a.b.c.d.e.f.g": 1 }, "filter.a.b.c.d.e.f.g"],
        [{ $text: "" }, "filter.$text"],
        [{ $text: "x ".repeat(50) }, "filter.$text"],
        [{ createdAt: "soon" }, "filter.createdAt"],
        [{ version: 1.5 }, "filter.version"],
        [{ $and: "x" }, "filter.$and"],
        ["text", "filter"],
      ] as [object, string | RegExp][])
        await fails(entities.query(organization, "marks", filter), path);
      await fails(entities.query(organization, "marks", {}, { orderBy: "" }), "orderBy");
      await fails(entities.query(organization, "No Type", {}), "entity");
      for (const cursor of [
        "x",
        "",
        Buffer.from('["-createdAt","x","y"]').toString("base64url"),
        Buffer.from('["a","\\"\\ud800\\"","y"]').toString("base64url"),
      ])
        for (const orderBy of ["-createdAt", "a"])
          await assert.rejects(entities.page(organization, "marks", {}, { cursor, orderBy }), {
            code: "invalid_cursor",
          });
    });

    test("pages hold every row once in any order, though rows come and go meanwhile", async () => {
      const org = asOrganizationId("pages");
      const by = { ...write, organization: org };
      const value = [3, 1, "b", "a", true, null, undefined, 2, 2, { x: 1 }, -5.5, "x".repeat(500)];
      await entities.upsert(
        by,
        "marks",
        Array.from({ length: 60 }, (_, n) => ({ externalId: `k${n}`, v: value[n % value.length], at: "z" })),
      );
      await entities.upsert(
        by,
        "messages",
        Array.from({ length: 30 }, (_, n) => ({
          externalId: `k${n}`,
          subject: `s${n % 3}`,
          ...(n % 4 ? { sentAt: new Date(1e12 + (n % 5) * 1000) } : {}),
        })),
      );
      for (const [type, total, orders] of [
        ["marks", 60, ["v", "-v", "createdAt", "-updatedAt", "id", "-externalId", "at", "-version"]],
        ["messages", 30, ["sentAt", "-sentAt", "subject", "-subject"]],
      ] as const)
        for (const orderBy of orders) {
          const seen: string[] = [];
          for (let cursor: string | undefined; ; ) {
            const page = await entities.page(
              org,
              type,
              { externalId: { $startsWith: "k" } },
              { limit: 7, orderBy, count: true, cursor },
            );
            assert.equal(page.count, total);
            seen.push(...page.items.map(({ id }) => id));
            await entities.upsert(by, type, [{ externalId: `new-${seen.length}` }]);
            if (page.nextCursor === null) break;
            cursor = page.nextCursor;
            assert.ok(cursor.length < 2000);
          }
          assert.equal(new Set(seen).size, total, `${type} ${orderBy}`);
          assert.equal(seen.length, total, `${type} ${orderBy}`);
        }
    });

    test("contacts of two sources are linked: once is enough, over others too, and each leaves alone", async () => {
      const rows = await entities.upsert(
        write,
        "contacts",
        ["l1", "l2", "l3", "l4"].map((externalId) => ({ externalId })),
      );
      const [a, b, c, d] = rows.map(({ id }) => id) as [string, string, string, string];
      const linked = async (id: string) =>
        ((await entities.getById(organization, "contacts", id))!["linkedIds"] as string[] | undefined)?.toSorted();
      await entities.link(write, "contacts", [a, b]);
      const from = await lastSeq();
      await entities.link(write, "contacts", [b, a]);
      assert.deepEqual(await eventsSince(from), []);
      await entities.link(write, "contacts", [c, d]);
      await entities.link(write, "contacts", [b, c]);
      assert.deepEqual(await linked(a), [b, c, d].toSorted());
      assert.ok(
        (await eventsSince(from)).every(
          ({ type, data }) => type === "data.ContactUpdated" && (data["changed"] as string[]).includes("linkedIds"),
        ),
      );
      await batch([item("contacts", "l1", { displayName: "still linked" })]);
      assert.deepEqual(await linked(a), [b, c, d].toSorted());
      await entities.unlink(write, "contacts", [b]);
      assert.deepEqual([await linked(b), await linked(a)], [undefined, [c, d].toSorted()]);
      await entities.delete(write, "contacts", [c]);
      assert.deepEqual(await linked(a), [d]);
      await entities.unlink(write, "contacts", [a]);
      assert.deepEqual([await linked(a), await linked(b)], [undefined, undefined]);
      await assert.rejects(entities.link(write, "contacts", [a, "nobody"]), { code: "not_found" });
    });

    test("writers of the same rows at the same time make each row once, and references hold", async () => {
      const changes = (n: number): EntityChange[] => [
        item("accounts", "same", { name: `n${n}` }),
        ...Array.from({ length: 20 }, (_, i) =>
          item("transactions", `same-${(i * (n + 1)) % 20}`, { accountId: ref("accounts", "same"), [`f${n}`]: 1 }),
        ),
      ];
      await Promise.all(
        Array.from({ length: 6 }, (_, n) => batch(changes(n), { ...write, plugin: asPluginId(`acme.p${n}`) })),
      );
      const account = (await byName("accounts", "same"))!;
      const rows = await entities.query(organization, "transactions", { externalId: { $startsWith: "same-" } });
      assert.equal(rows.length, 20);
      for (const row of rows) assert.equal(row["accountId"], account.id);
      for (const row of rows.filter(({ externalId }) => externalId === "same-0"))
        for (let n = 0; n < 6; n++) assert.equal(row[`f${n}`], 1, "no writer's field is lost");
    });

    test("types are listed with their counts", async () => {
      const org = asOrganizationId("types");
      assert.deepEqual(await entities.types(org), []);
      await entities.upsert({ ...write, organization: org }, "b_things", [{ id: "1" }, { id: "2" }]);
      await entities.upsert({ ...write, organization: org }, "a_things", [{ id: "1" }]);
      await entities.delete({ ...write, organization: org }, "b_things", ["1"]);
      assert.deepEqual(await entities.types(org), [
        { type: "a_things", count: 1, countCapped: false },
        { type: "b_things", count: 1, countCapped: false },
      ]);
    });

    test("whatever two organisations do with the same names, neither sees or changes the other's rows", async () => {
      const orgs = [asOrganizationId("left"), asOrganizationId("right")] as const;
      const step = fc.record({
        who: fc.constantFrom<0 | 1>(0, 1),
        what: fc.constantFrom("batch", "byId", "delete", "restore", "link", "unlink", "tags"),
        n: fc.integer({ min: 0, max: 3 }),
        m: fc.integer({ min: 0, max: 3 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (steps) => {
          for (const { who, what, n, m } of steps) {
            const by = { ...write, organization: orgs[who] };
            const mine = { id: `i${n}`, owner: orgs[who], text: `only ${orgs[who]}` };
            const quietly = (work: Promise<unknown>) => work.catch((error) => assert.equal(error.code, "not_found"));
            if (what === "batch")
              await batch([item("people", `x${n}`, { owner: orgs[who], friend: ref("people", `x${m}`) })], by);
            else if (what === "byId") await entities.upsert(by, "people", [mine]);
            else if (what === "delete") await entities.delete(by, "people", [`i${n}`]);
            else if (what === "restore") await quietly(entities.restore(by, "people", `i${n}`));
            else if (what === "tags") await entities.upsert(by, "people", [{ ...mine, tags: [orgs[who]] }]);
            else await quietly(entities[what](by, "people", [`i${n}`, `i${m}`]));
          }
          for (const org of orgs) {
            const ids = new Set(
              (await entities.query(org, "people", {}, { limit: 200, includeDeleted: true })).map(({ id }) => id),
            );
            for (const filter of [
              {},
              { $text: "only" },
              { tags: { $in: [...orgs] } },
              { $or: orgs.map((owner) => ({ owner })) },
            ])
              for (const row of await entities.query(org, "people", filter, { limit: 200, includeDeleted: true })) {
                assert.equal(row["owner"], org);
                for (const other of (row["linkedIds"] as string[] | undefined) ?? []) assert.ok(ids.has(other));
                if (row["friend"]) assert.ok(ids.has(row["friend"] as string));
              }
          }
          const events = await sql<{ organization_id: string; owner: string | null }>`
            select organization_id, data->'record'->>'owner' as owner from events where organization_id in ('left', 'right')`.execute(
            store.db,
          );
          for (const { organization_id, owner } of events.rows) assert.equal(owner, organization_id);
        }),
        { numRuns: 12 },
      );
    });

    test("fat rows are read and written a few at a time: what one call holds of the hub's memory is bounded", async () => {
      const wide = { ...write, organization: asOrganizationId("wide") };
      for (const field of ["a", "b"])
        for (let n = 0; n < 70; n += 10)
          await batch(
            Array.from({ length: 10 }, (_, i) => item("fat_rows", `${n + i}`, { [field]: "x".repeat(250_000) })),
            wide,
          );
      const page = (limit: number) => entities.query(wide.organization, "fat_rows", {}, { limit });
      await fails(page(70), "limit");
      assert.equal((await page(20)).length, 20);
      const ids = [...(await page(30)).map(({ id }) => id)];
      const all = Array.from({ length: 70 }, (_, n) => item("fat_rows", `${n}`, { seen: true }));
      await fails(batch(all, wide), "changes");
      assert.equal((await batch(all.slice(0, 30), wide)).updated, 30);
      assert.equal(await entities.delete(wide, "fat_rows", ids), 30);
    });
  });
