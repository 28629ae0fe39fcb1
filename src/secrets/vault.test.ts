import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { BackplaneError } from "../errors/error.ts";
import { loadOrCreateKey, parseMasterKeys } from "./master-key.ts";
import { createVault } from "./vault.ts";

const binding = { organization: "acme", installation: "i-1", field: "token" };
const consent = { hosts: ["api.vendor.com"], expose: false };
const withCode = (code: string) => (error: unknown) => error instanceof BackplaneError && error.code === code;

test("a sealed value opens with its own binding, and its text shows nothing of the value", async () => {
  const vault = createVault({ masterKeys: [randomBytes(32)] });
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 200 }), async (value) => {
      const sealed = await vault.seal(binding, value, consent);
      assert.match(sealed, /^[\w-]+(?:\.[\w-]*){4}$/);
      assert.deepEqual(await vault.open(binding, sealed), { value, ...consent });
    }),
    { numRuns: 50 },
  );
  assert.notEqual(await vault.seal(binding, "x", consent), await vault.seal(binding, "x", consent));
});

test("a value moved to another organisation, installation or field is secret_unreadable", async () => {
  const vault = createVault({ masterKeys: [randomBytes(32)] });
  const sealed = await vault.seal(binding, "s3cret", consent);
  for (const other of [{ organization: "evil" }, { installation: "i-2" }, { field: "note" }]) {
    await assert.rejects(vault.open({ ...binding, ...other }, sealed), withCode("secret_unreadable"));
  }
});

test("a changed sealed value is secret_unreadable, whichever part was changed", async () => {
  const vault = createVault({ masterKeys: [randomBytes(32)] });
  const sealed = await vault.seal(binding, "s3cret", consent);
  const parts = sealed.split(".");
  for (let part = 0; part < 5; part++) {
    const changed = parts
      .map((text, i) => (i === part ? (text.startsWith("A") ? "B" : "A") + text.slice(1) : text))
      .join(".");
    await assert.rejects(vault.open(binding, changed), withCode("secret_unreadable"));
  }
  // A header that claims wider hosts is not authenticated.
  const header = JSON.parse(Buffer.from(parts[0]!, "base64url").toString());
  const forged = Buffer.from(JSON.stringify({ ...header, hosts: ["evil.com"], expose: true })).toString("base64url");
  await assert.rejects(vault.open(binding, [forged, ...parts.slice(1)].join(".")), withCode("secret_unreadable"));
  for (const junk of ["", "a.b.c.d.e", "x".repeat(500_000)])
    await assert.rejects(vault.open(binding, junk), withCode("secret_unreadable"));
});

test("a former key still opens, rotation moves values to the current one, and without the key nothing opens", async () => {
  const [oldKey, newKey] = [randomBytes(32), randomBytes(32)];
  const before = createVault({ masterKeys: [oldKey] });
  const both = createVault({ masterKeys: [newKey, oldKey] });
  const after = createVault({ masterKeys: [newKey] });
  const sealed = await before.seal(binding, "s3cret", consent);
  assert.equal((await both.open(binding, sealed)).value, "s3cret");
  await assert.rejects(after.open(binding, sealed), withCode("secret_unreadable"));
  const rotated = await both.rotate(binding, sealed);
  assert.deepEqual(await after.open(binding, rotated), { value: "s3cret", ...consent });
  assert.equal(await both.rotate(binding, rotated), rotated);
  assert.equal(both.mark("x")[1], before.mark("x")[0], "handles made under the former key are still known");
});

test("master keys that are not 32 bytes of base64 are invalid_settings", () => {
  const good = randomBytes(32).toString("base64");
  assert.equal(parseMasterKeys(` ${good}\n`)[0]?.byteLength, 32);
  assert.equal(parseMasterKeys(`${good},${randomBytes(32).toString("base64url")}`).length, 2);
  const bad = [
    "",
    "abc",
    randomBytes(31).toString("base64"),
    randomBytes(33).toString("base64"),
    `${good},`,
    randomBytes(32).toString("hex"),
    "!".repeat(44),
  ];
  for (const text of bad) assert.throws(() => parseMasterKeys(text), withCode("invalid_settings"), text);
  assert.throws(() => createVault({ masterKeys: [] }), withCode("invalid_settings"));
  assert.throws(() => createVault({ masterKeys: [new Uint8Array(16)] }), withCode("invalid_settings"));
});

test("the key file is made once, for its owner only, also when many start at the same time", async () => {
  const folder = await mkdtemp(join(tmpdir(), "backplane-key-"));
  try {
    const data = join(folder, "data");
    const made = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateKey(data)));
    assert.equal(new Set(made.map(([key]) => Buffer.from(key!).toString("hex"))).size, 1);
    assert.deepEqual(await readdir(data), ["master.key"]);
    assert.equal((await stat(join(data, "master.key"))).mode & 0o777, 0o600);
    assert.deepEqual(await loadOrCreateKey(data), made[0]);
    const kept = await readFile(join(data, "master.key"), "utf8");
    await writeFile(join(data, "master.key"), kept.slice(0, 20));
    await assert.rejects(loadOrCreateKey(data), withCode("invalid_settings"));
  } finally {
    await rm(folder, { recursive: true });
  }
});
