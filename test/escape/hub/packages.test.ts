/** Package tarballs from outside, built to explode, to climb, to confuse or to lie. INV-25. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { BackplaneError } from "../../../src/errors/error.ts";
import { readPackage } from "../../../src/packages/read-package.ts";
import { packageEntries, pax, type TarEntry, tar, tarEntry, tgz } from "../../../src/packages/tar.fixture.ts";
import { assertAside } from "./cost.ts";

const manifest = { id: "acme.evil", name: "Evil", version: "1.0.0", type: "domain", entrypoint: "./index.js" };
const code = "globalThis.__backplanePlugin = { functions: {} };";
const withEntries = (...more: (TarEntry | Buffer)[]): Buffer => tgz([...packageEntries(manifest, code), ...more]);
const withManifest = (text: string): Buffer =>
  tgz(packageEntries(manifest, code, [{ name: "package/plugin.json", body: text }]));

const refused: Record<string, () => Uint8Array> = {
  "a bomb of zeros": () => gzipSync(Buffer.alloc(300 * 1024 * 1024)),
  "a bomb inside a valid archive": () => withEntries({ name: "package/pad.bin", body: Buffer.alloc(60 * 1024 * 1024) }),
  "a gzip of many members": () => Buffer.concat(Array.from({ length: 4000 }, () => gzipSync(Buffer.alloc(64 * 1024)))),
  "a gzip in a gzip": () => gzipSync(withEntries()),
  "a hundred thousand entries": () =>
    withEntries(...Array.from({ length: 20_000 }, (_, i) => ({ name: `package/f${i}`, body: "" }))),
  "ways out": () => withEntries({ name: "package/../../../tmp/backplane-escape", body: "x" }),
  "an absolute path": () => withEntries({ name: "/tmp/backplane-escape", body: "x" }),
  "a way out through a pax header": () =>
    withEntries(pax({ path: "package/../../tmp/backplane-escape" }), { name: "package/a", body: "x" }),
  "a way out through a long name": () =>
    withEntries(tarEntry({ name: "././@LongLink", type: "L", body: "package/../../../tmp/backplane-escape\0" }), {
      name: "package/a",
      body: "x",
    }),
  "a way out through the prefix": () =>
    withEntries({ name: "backplane-escape", prefix: "package/../../tmp", body: "x" }),
  "a symbolic link": () => withEntries({ name: "package/link", type: "2", link: "/etc/passwd" }),
  "a hard link": () => withEntries({ name: "package/link", type: "1", link: "package/plugin.json" }),
  "a device": () => withEntries({ name: "package/device", type: "3" }),
  "the manifest twice": () =>
    withEntries({ name: "package/plugin.json", body: JSON.stringify({ ...manifest, id: "acme.other" }) }),
  "names that differ by case": () => withEntries({ name: "package/PLUGIN.JSON", body: "{}" }),
  "a size that lies upwards": () => withEntries({ name: "package/a", size: "77777777777\0", body: "x" }),
  "a negative size": () => withEntries({ name: "package/a", size: "-0000000001\0", body: "x" }),
  "a size in base 256": () => withEntries({ name: "package/a", size: "\x80\0\0\0\0\0\0\0\0\0\0\x01", body: "x" }),
  "a wrong checksum": () => withEntries({ name: "package/a", checksum: "000000\0 ", body: "x" }),
  "an archive that is cut": () => gzipSync(tar(packageEntries(manifest, code)).subarray(0, 700)),
  "a gzip that is cut": () => withEntries().subarray(0, 60),
  "bytes behind the end": () =>
    gzipSync(
      tar(
        packageEntries(manifest, code),
        Buffer.concat([Buffer.alloc(1024), tarEntry({ name: "package/late", body: "x" })]),
      ),
    ),
  "no archive": () => Buffer.from("PK\x03\x04 this is a zip"),
  nothing: () => Buffer.alloc(0),
  "a manifest of megabytes": () => withManifest(JSON.stringify({ ...manifest, description: "x".repeat(5_000_000) })),
  "a manifest nested without end": () => withManifest("[".repeat(200_000)),
  "a manifest that is no UTF-8": () =>
    tgz(packageEntries(manifest, code, [{ name: "package/plugin.json", body: Buffer.from([0xff, 0xfe, 0x7b]) }])),
  "an entrypoint that is not there": () => tgz([{ name: "package/plugin.json", body: JSON.stringify(manifest) }]),
  "a bundle of megabytes": () => tgz(packageEntries(manifest, `/*${"x".repeat(8 * 1024 * 1024)}*/`)),
};

describe("hostile packages", () => {
  for (const [title, make] of Object.entries(refused)) {
    it(`refuses ${title}, in a worker, and writes nothing`, async () => {
      const bytes = make();
      const before = new Set(readdirSync(tmpdir()));
      const error: unknown = await assertAside(title, () =>
        readPackage(bytes).then(
          () => undefined,
          (cause: unknown) => cause,
        ),
      );
      assert.ok(error instanceof BackplaneError, `it was accepted, or failed otherwise: ${String(error)}`);
      assert.match(error.code, /^(invalid_package|invalid_manifest|payload_too_large)$/);
      assert.ok(error.message.length < 4096);
      assert.ok(!error.message.includes(process.cwd()), "the message names the host");
      assert.deepEqual(
        readdirSync(tmpdir()).filter((name) => !before.has(name) && name.includes("backplane-escape")),
        [],
      );
    });
  }

  it("answers a good package while bombs are being read", async () => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024));
    const bombs = Array.from({ length: 8 }, () => readPackage(bomb).catch((error: unknown) => error));
    const content = await assertAside("a good package among bombs", () => readPackage(withEntries()), {
      wallMs: 15_000,
    });
    assert.equal(content.manifest.id, "acme.evil");
    for (const answer of await Promise.all(bombs)) assert.ok(answer instanceof BackplaneError);
  });
});
