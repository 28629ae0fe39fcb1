import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asOrganizationId } from "../base/brands.ts";
import { openTestStore } from "../store/test-store.ts";
import { createArtifacts } from "./artifacts.ts";
import { inspectPackage } from "./inspect-package.ts";
import { bundledOrganization } from "./package-records.ts";
import { createPackages, type PackagesOptions } from "./packages.ts";
import { greeterManifest } from "./plugin-folder.fixture.ts";
import { packageEntries, tgz } from "./tar.fixture.ts";

const orgA = asOrganizationId("org-a");
const orgB = asOrganizationId("org-b");

async function setUp(driver: "pglite" | "postgres" = "pglite", options: Partial<PackagesOptions> = {}) {
  const store = await (driver === "postgres" ? openTestStore({ driver }) : openTestStore());
  const cacheDir = await mkdtemp(join(tmpdir(), "backplane-cache-"));
  const artifacts = createArtifacts({ store, cacheDir });
  return {
    store,
    artifacts,
    packages: createPackages({ store, artifacts, ...options }),
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await rm(cacheDir, { recursive: true, force: true });
    },
  };
}

const tarball = (fields: object = {}, code = "1"): Buffer =>
  tgz(packageEntries({ ...greeterManifest, entrypoint: "./index.js", ...fields }, code));
const content = (fields: object = {}, code = "1") => inspectPackage(tarball(fields, code));
const by = { actor: "key:k1" };

for (const driver of ["pglite", "postgres"] as const) {
  const skip = driver === "postgres" && !process.env["TEST_DATABASE_URL"] ? "needs TEST_DATABASE_URL" : false;

  test(`${driver}: publish answers with what the plugin asks for; again the same is no error, other content is`, {
    skip,
  }, async () => {
    const seen: string[] = [];
    await using it = await setUp(driver, {
      onPublished: async (_, { id, version, publishedBy }) => void seen.push(`${id} ${version} ${publishedBy}`),
    });
    const bytes = tarball({ optionalPermissions: ["network:outbound:api.example.com"] });
    const first = await it.packages.publish(orgA, bytes, "key:k1");
    assert.deepEqual(
      [first.id, first.version, first.catalog, first.created, first.replacesBundled],
      ["acme.greeter", "1.0.0", orgA, true, false],
    );
    assert.deepEqual(
      first.permissions.map(({ permission, required, sentence, risk }) => [
        permission,
        required,
        sentence.length > 0,
        typeof risk,
      ]),
      [
        ["event:publish:greeter.*", true, true, "string"],
        ["network:outbound:api.example.com", false, true, "string"],
      ],
    );
    const again = await it.packages.publish(orgA, bytes, "key:k2");
    assert.deepEqual([again.digest, again.created, again.publishedBy], [first.digest, false, "key:k1"]);
    await assert.rejects(it.packages.publish(orgA, tarball({}, "2"), "key:k1"), { code: "package_exists" });
    assert.deepEqual(seen, ["acme.greeter 1.0.0 key:k1"]);
    const bundle = await it.artifacts.loadBundle({
      organization: first.catalog,
      digest: first.digest,
      entrypoint: first.manifest.entrypoint!,
    });
    assert.equal(bundle.code, "1");
  });

  test(`${driver}: of many that publish one version at once with different content, one wins`, { skip }, async () => {
    await using it = await setUp(driver);
    const contents = await Promise.all(["1", "2", "3", "1", "2"].map((code) => content({}, code)));
    const outcomes = await Promise.allSettled(contents.map((one) => it.packages.publishContent(orgA, one, by)));
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value.digest] : []));
    assert.equal(new Set(won).size, 1);
    const lost = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.code] : []));
    assert.ok(lost.length >= 2 && lost.every((code) => code === "package_exists"));
    assert.equal((await it.packages.resolve(orgA, "acme.greeter")).digest, won[0]);
  });

  test(`${driver}: lists page newest first without losing or repeating one`, { skip }, async () => {
    await using it = await setUp(driver);
    const ids = ["a", "b", "c", "d", "e"].map((name) => `acme.${name}`);
    for (const id of ids) await it.packages.publishContent(orgA, await content({ id }), by);
    await it.store.db
      .updateTable("packages")
      .set({ published_at: new Date("2026-01-01T00:00:00Z") })
      .where("plugin_id", "in", ["acme.b", "acme.c"])
      .execute();
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof it.packages.list>> = await it.packages.list(orgA, {
        limit: 2,
        ...(cursor && { cursor }),
      });
      assert.ok(page.packages.length <= 2);
      seen.push(...page.packages.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor);
    assert.deepEqual(seen, ["acme.e", "acme.d", "acme.a", "acme.b", "acme.c"]);
    for (const wrong of [
      "x",
      "",
      Buffer.from('["a","b"]').toString("base64url"),
      Buffer.from("[1,2]").toString("base64url"),
    ]) {
      await assert.rejects(it.packages.list(orgA, { cursor: wrong }), { code: "invalid_cursor" });
    }
  });
}

test("resolve takes the highest version of a range; pre-releases only when nothing else is there or they are named", async () => {
  await using it = await setUp();
  for (const version of ["1.9.0", "1.10.0", "2.0.0-beta.1"])
    await it.packages.publishContent(orgA, await content({ version }), by);
  await it.packages.publishContent(orgA, await content({ id: "acme.early", version: "0.1.0-alpha.1" }), by);
  const version = async (id: string, range?: string): Promise<string> =>
    (await it.packages.resolve(orgA, id, range)).version;
  assert.equal(await version("acme.greeter"), "1.10.0");
  assert.equal(await version("acme.greeter", "^1.2.0"), "1.10.0");
  assert.equal(await version("acme.greeter", "1.9.0"), "1.9.0");
  assert.equal(await version("acme.greeter", "2.0.0-beta.1"), "2.0.0-beta.1");
  assert.equal(await version("acme.early"), "0.1.0-alpha.1");
  await assert.rejects(version("acme.greeter", "^3.0.0"), { code: "not_found" });
  await assert.rejects(version("acme.nobody"), { code: "not_found" });
  for (const range of ["latest!", "1.0.0 || ".repeat(50), "../x"])
    await assert.rejects(version("acme.greeter", range), { code: "invalid_input" });
  const details = await it.packages.get(orgA, "acme.greeter");
  assert.deepEqual(
    [details.version, details.versions.map((one) => one.version)],
    ["1.10.0", ["2.0.0-beta.1", "1.10.0", "1.9.0"]],
  );
});

test("another organisation's packages are not there: not in lists, not by id", async () => {
  await using it = await setUp();
  await it.packages.publishContent(orgA, await content(), by);
  assert.deepEqual((await it.packages.list(orgB)).packages, []);
  await assert.rejects(it.packages.get(orgB, "acme.greeter"), { code: "not_found" });
  await assert.rejects(it.packages.resolve(orgB, "acme.greeter", "1.0.0"), { code: "not_found" });
  const theirs = await it.packages.publishContent(orgB, await content({}, "other"), by);
  assert.notEqual(theirs.digest, (await it.packages.resolve(orgA, "acme.greeter")).digest);
});

test("bundled packages are there for all; an own package of the same id stands in for them wholly and says so", async () => {
  await using it = await setUp();
  await it.packages.publishContent(bundledOrganization, await content({ version: "5.0.0" }), { actor: "hub" });
  await it.packages.publishContent(bundledOrganization, await content({ id: "acme.other" }), { actor: "hub" });
  assert.equal((await it.packages.resolve(orgA, "acme.greeter")).catalog, "*");
  const own = await it.packages.publishContent(orgA, await content({ version: "1.0.0" }), by);
  assert.equal(own.replacesBundled, true);
  assert.deepEqual(await it.packages.resolve(orgA, "acme.greeter").then(({ version, catalog }) => [version, catalog]), [
    "1.0.0",
    orgA,
  ]);
  await assert.rejects(it.packages.resolve(orgA, "acme.greeter", "^5.0.0"), { code: "not_found" });
  assert.equal((await it.packages.resolve(orgB, "acme.greeter")).version, "5.0.0");
  const list = await it.packages.list(orgA);
  assert.deepEqual(
    list.packages.map(({ id, version, catalog }) => [id, version, catalog]),
    [
      ["acme.greeter", "1.0.0", orgA],
      ["acme.other", "1.0.0", "*"],
    ],
  );
  assert.deepEqual(
    (await it.packages.list(orgA, { bundled: false })).packages.map(({ id }) => id),
    ["acme.greeter"],
  );
});

test("a replaced version has the new content, and what was pinned to the old digest still loads", async () => {
  await using it = await setUp();
  const before = await it.packages.publishContent(bundledOrganization, await content(), { actor: "hub" });
  const after = await it.packages.publishContent(bundledOrganization, await content({}, "2"), {
    actor: "hub",
    replace: true,
  });
  assert.notEqual(after.digest, before.digest);
  assert.equal((await it.packages.resolve(orgA, "acme.greeter")).digest, after.digest);
  const pinned = await it.artifacts.loadBundle({
    organization: bundledOrganization,
    digest: before.digest,
    entrypoint: "./index.js",
  });
  assert.equal(pinned.code, "1");
});

test("a refused package leaves nothing behind", async () => {
  await using it = await setUp("pglite", {
    onPublished: async () => {
      throw new Error("audit is down");
    },
  });
  await assert.rejects(it.packages.publish(orgA, tgz([{ name: "../x" }]), "key:k1"), { code: "invalid_package" });
  await assert.rejects(it.packages.publishContent(orgA, await content(), by), /audit is down/);
  for (const table of ["packages", "artifacts", "artifact_chunks"] as const) {
    assert.deepEqual(await it.store.db.selectFrom(table).selectAll().execute(), []);
  }
});
