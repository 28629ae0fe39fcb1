import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { BackplaneError } from "../errors/error.ts";
import {
  type ConfigObject,
  countSealed,
  MASK,
  maskConfig,
  migrateConfig,
  rebindConfig,
  rotateConfig,
  sealConfig,
  secretConsent,
} from "./config.ts";
import { openSecrets } from "./installation-secrets.ts";
import { findSecrets } from "./secret-fields.ts";
import { createVault } from "./vault.ts";

const secret = (hosts: string[] = ["api.vendor.com"], more: object = {}) => ({
  type: "string",
  format: "secret",
  hosts,
  ...more,
});
const schema = {
  type: "object",
  properties: {
    channel: { type: "string" },
    token: secret(),
    auth: { type: "object", properties: { user: { type: "string" }, password: secret() } },
    keys: { type: "array", items: { $ref: "#/$defs/key" } },
    extra: { type: "object", additionalProperties: { anyOf: [{ type: "number" }, secret()] } },
    "dotted.name": secret(),
  },
  patternProperties: { "^x-": { allOf: [secret()] } },
  if: { properties: { mode: { const: "a" } } },
  // biome-ignore lint/suspicious/noThenProperty: a JSON Schema keyword
  then: { properties: { conditional: secret() } },
  $defs: { key: { type: "object", properties: { value: secret(), nested: { $ref: "#/$defs/key" } } } },
};
const scope = {
  vault: createVault({ masterKeys: [randomBytes(32)] }),
  schema,
  organization: "acme",
  installation: "i-1",
  plugin: "acme.x",
};
const full: ConfigObject = {
  channel: "#alerts",
  token: "s3cret-token",
  auth: { user: "me", password: "s3cret-password" },
  keys: [{ value: "s3cret-k0" }, { value: "s3cret-k1", nested: { value: "s3cret-k2" } }],
  extra: { a: "s3cret-extra" },
  "dotted.name": "s3cret-dotted",
  "x-y": "s3cret-pattern",
  conditional: "s3cret-then",
};

test("secrets are sealed wherever the schema has them: nested, in lists, behind references and combinators", async () => {
  const { sealed, plain } = await sealConfig(scope, full);
  assert.deepEqual(plain, full);
  assert.doesNotMatch(JSON.stringify(sealed), /s3cret/);
  assert.equal(findSecrets(schema, full).length, 9);
  assert.equal(sealed["channel"], "#alerts");
  const masked = maskConfig(schema, sealed);
  assert.doesNotMatch(JSON.stringify(masked), /sealed|s3cret|eyJ/);
  assert.deepEqual(masked["auth"], { user: "me", password: MASK });
});

test("a mask sent back keeps the stored value; another value replaces it; an absent one removes it", async () => {
  const first = await sealConfig(scope, full);
  const masked = { ...maskConfig(schema, first.sealed), channel: "#new", token: "s3cret-2" };
  const second = await sealConfig(scope, masked, first.sealed);
  assert.deepEqual(second.plain, { ...full, channel: "#new", token: "s3cret-2" });
  const third = await sealConfig(scope, { channel: "#x" }, second.sealed);
  assert.deepEqual(third.sealed, { channel: "#x" });
});

test("a mask without a stored value, and a secret that is no string, are invalid_config by field", async () => {
  const reject = async (config: ConfigObject, path: string): Promise<void> => {
    await assert.rejects(
      sealConfig(scope, config),
      (error) => error instanceof BackplaneError && error.code === "invalid_config" && error.errors?.[0]?.path === path,
    );
  };
  await reject({ token: MASK }, "$.token");
  await reject({ auth: { password: 5 } }, "$.auth.password");
  await reject({ token: { $sealed: "eyJ.forged" } }, "$.token");
  await reject({ keys: [{ value: ["a"] }] }, "$.keys.0.value");
  await reject({ token: "x".repeat(70_000) }, "$.token");
});

test("sealed values of one installation are of no use in another", async () => {
  const { sealed } = await sealConfig(scope, full);
  const other = await openSecrets({ ...scope, organization: "evil" }, sealed);
  assert.equal(other.fields.length, 9);
  const handle = String(other.guestConfig["token"]);
  assert.throws(
    () =>
      other.fill({
        url: "https://api.vendor.com/",
        host: "api.vendor.com",
        headers: [["x", handle]],
        body: undefined,
        crossHost: false,
      }),
    (error) => error instanceof BackplaneError && error.code === "secret_unreadable",
  );
});

test("empty secrets stay empty, and values outside secret fields are untouched even if they look sealed", async () => {
  const { sealed } = await sealConfig(scope, { token: "", channel: "x" });
  assert.deepEqual(sealed, { token: "", channel: "x" });
  assert.equal(maskConfig(schema, sealed)["token"], "");
});

test("a newer version's schema seals what became secret and drops what is secret no longer", async () => {
  const { sealed } = await sealConfig(scope, { token: "s3cret-token", channel: "plain" });
  const newer = { type: "object", properties: { token: { type: "string" }, channel: secret() } };
  const migrated = await migrateConfig({ ...scope, schema: newer }, sealed);
  assert.equal(migrated["token"], undefined);
  assert.doesNotMatch(JSON.stringify(migrated), /plain/);
  assert.equal(
    (await openSecrets({ ...scope, schema: newer }, migrated)).logRedactor.text("plain"),
    "[redacted:channel]",
  );
  assert.equal(maskConfig(newer, sealed)["token"], MASK, "before migration it is masked all the same");
});

test("a version that widens a secret's hosts or exposes it gains nothing until an admin agrees", async () => {
  const { sealed } = await sealConfig(scope, { token: "s3cret-token" });
  const wider = {
    type: "object",
    properties: { token: secret(["api.vendor.com", "collect.evil.com", "*.vendor.com"], { expose: true }) },
  };
  const upgraded = { ...scope, schema: wider };
  const use = async (config: ConfigObject, host: string) => {
    const secrets = await openSecrets(upgraded, config);
    return secrets.fill({
      url: `https://${host}/`,
      host,
      headers: [["x", String(secrets.guestConfig["token"])]],
      body: undefined,
      crossHost: false,
    }).request.headers[0]![1];
  };
  const before = await openSecrets(upgraded, await migrateConfig(upgraded, sealed));
  assert.deepEqual(before.exposed, []);
  assert.equal(await use(sealed, "api.vendor.com"), "s3cret-token");
  for (const host of ["collect.evil.com", "other.vendor.com"]) {
    await assert.rejects(
      use(sealed, host),
      (error) =>
        error instanceof BackplaneError && error.code === "secret_misused" && /waits for approval/.test(error.message),
    );
  }
  const approved = await rebindConfig(upgraded, sealed);
  assert.equal((await openSecrets(upgraded, approved)).guestConfig["token"], "s3cret-token");
  assert.equal(await use(approved, "collect.evil.com"), "s3cret-token");
  const saved = await sealConfig(upgraded, { token: MASK }, sealed);
  assert.deepEqual((await openSecrets(upgraded, saved.sealed)).exposed, [], "saving another setting is no consent");
  const entered = await sealConfig(upgraded, { token: "s3cret-anew" }, sealed);
  assert.deepEqual((await openSecrets(upgraded, entered.sealed)).exposed, ["token"]);
  // Narrowing works at once.
  const narrower = { ...scope, schema: { type: "object", properties: { token: secret(["b.vendor.com"]) } } };
  const narrow = await openSecrets(narrower, sealed);
  assert.throws(
    () =>
      narrow.fill({
        url: "https://api.vendor.com/",
        host: "api.vendor.com",
        headers: [["x", String(narrow.guestConfig["token"])]],
        body: undefined,
        crossHost: false,
      }),
    /not bound/,
  );
});

test("rotation re-seals a whole config under the current key", async () => {
  const { sealed } = await sealConfig(scope, full);
  const keys = [randomBytes(32), randomBytes(32)] as const;
  const old = { ...scope, vault: createVault({ masterKeys: [keys[0]] }) };
  const stored = (await sealConfig(old, full)).sealed;
  const rotated = await rotateConfig({ ...scope, vault: createVault({ masterKeys: [keys[1], keys[0]] }) }, stored);
  const fresh = { ...scope, vault: createVault({ masterKeys: [keys[1]] }) };
  assert.deepEqual((await sealConfig(fresh, maskConfig(schema, rotated), rotated)).plain, full);
  await assert.rejects(
    sealConfig(fresh, { token: MASK }, sealed),
    (error) => error instanceof BackplaneError && error.code === "secret_unreadable",
  );
});

test("rotation leaves a secret that no key opens as it is and still re-seals the others", async () => {
  const lost = (await sealConfig({ ...scope, vault: createVault({ masterKeys: [randomBytes(32)] }) }, full)).sealed;
  const [former, current] = [randomBytes(32), randomBytes(32)];
  const stored = (await sealConfig({ ...scope, vault: createVault({ masterKeys: [former] }) }, full)).sealed;
  const vault = createVault({ masterKeys: [current, former] });
  const all = countSealed(vault, stored).former;
  assert.ok(all > 1);
  const mixed = { ...stored, token: lost["token"] };
  assert.deepEqual(countSealed(vault, mixed), { current: 0, former: all - 1, unknown: 1 });
  const rotated = await rotateConfig({ ...scope, vault }, mixed);
  assert.deepEqual(countSealed(vault, rotated), { current: all - 1, former: 0, unknown: 1 });
  assert.deepEqual(rotated["token"], lost["token"]);
});

test("consent lists every secret field of a schema, recursive ones once", () => {
  const list = secretConsent(schema);
  assert.deepEqual(
    list.map(({ field }) => field).toSorted(),
    ["auth.password", "conditional", "dotted~1name", "extra.*", "keys.*.value", "token", "*"].toSorted(),
  );
  assert.deepEqual(
    list.find(({ field }) => field === "token"),
    { field: "token", hosts: ["api.vendor.com"], expose: false },
  );
});

test("an entangled schema is refused instead of eating the hub", () => {
  const $defs: Record<string, unknown> = { d40: secret() };
  for (let i = 0; i < 40; i++)
    $defs[`d${i}`] = {
      properties: { a: { $ref: `#/$defs/d${i + 1}` }, b: { $ref: `#/$defs/d${i + 1}` } },
    };
  const entangled = { $ref: "#/$defs/d0", $defs };
  const started = performance.now();
  assert.throws(
    () => secretConsent(entangled),
    (error) => error instanceof BackplaneError && error.code === "invalid_config",
  );
  assert.ok(performance.now() - started < 2_000);
  const loop = { $ref: "#/$defs/x", $defs: { x: { $ref: "#/$defs/y" }, y: { $ref: "#/$defs/x", format: "secret" } } };
  assert.equal(findSecrets(loop, "value").length, 1);
  assert.deepEqual(findSecrets({ $ref: "#/constructor/prototype" }, { a: "b" }), []);
});

test("whatever the values are, nothing sealed shows them, and masking then saving loses none", async () => {
  const value = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).filter((text) => text !== MASK);
  const simple = { ...scope, schema: { properties: { a: secret(), b: { properties: { c: secret() } } } } };
  await fc.assert(
    fc.asyncProperty(value, value, async (a, c) => {
      const { sealed } = await sealConfig(simple, { a, b: { c }, other: 1 });
      const again = await sealConfig(simple, maskConfig(simple.schema, sealed), sealed);
      assert.deepEqual(again.plain, { a, b: { c }, other: 1 });
    }),
    { numRuns: 30 },
  );
});

test("a secret sealed before token endpoints were kept is bound at an upgrade to those of the version before, once", async () => {
  const { sealed } = await sealConfig(scope, { token: "s3cret-token" });
  const endpoints = new Map([["token", ["new.vendor.com"]]]);
  const of = async (config: ConfigObject): Promise<readonly string[] | undefined> =>
    (await scope.vault.open({ ...scope, field: "token" }, (config["token"] as { $sealed: string }).$sealed)).endpoints;
  assert.equal(await of(sealed), undefined);
  const upgraded = await migrateConfig({ ...scope, endpoints }, sealed, new Map([["token", ["old.vendor.com"]]]));
  assert.deepEqual(await of(upgraded), ["old.vendor.com"]);
  const again = await migrateConfig({ ...scope, endpoints }, upgraded, endpoints);
  assert.deepEqual(await of(again), ["old.vendor.com"]);
  assert.deepEqual(await of(await rotateConfig(scope, again)), ["old.vendor.com"]);
  assert.deepEqual(await of(await rebindConfig({ ...scope, endpoints }, again)), ["new.vendor.com"]);
});
