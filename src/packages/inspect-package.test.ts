import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { inspectPackage } from "./inspect-package.ts";
import { packageLimits } from "./limits.ts";
import { PackageFault, type PackageFaultCode } from "./package-fault.ts";
import { greeterManifest } from "./plugin-folder.fixture.ts";
import { packageEntries, type TarEntry, tar, tgz } from "./tar.fixture.ts";

const manifest = { ...greeterManifest, entrypoint: "./index.js" };
const code = "globalThis.__backplanePlugin = {};";
const good = (more: TarEntry[] = []): TarEntry[] => packageEntries(manifest, code, more);

async function refused(
  bytes: Uint8Array,
  reason: RegExp,
  faultCode: PackageFaultCode = "invalid_package",
): Promise<PackageFault> {
  const error = await inspectPackage(bytes).then(
    () => assert.fail(`taken, but expected ${reason}`),
    (fault: unknown) => fault,
  );
  assert.ok(error instanceof PackageFault, String(error));
  assert.equal(error.data.code, faultCode);
  assert.match(error.message, reason);
  return error;
}

test("a package gives manifest, code, source map, digest and its canonical archive", async () => {
  const content = await inspectPackage(tgz(good([{ name: "package/index.js.map", body: "{}" }])));
  assert.equal(content.manifest.id, "acme.greeter");
  assert.equal(content.code, code);
  assert.equal(content.sourceMap, "{}");
  const again = await inspectPackage(content.archive);
  assert.equal(again.digest, content.digest);
  assert.deepEqual(Buffer.from(again.archive), Buffer.from(content.archive));
});

test("the digest follows content, not order, compression or file times", async () => {
  const entries = good();
  const one = await inspectPackage(gzipSync(tar(entries), { level: 1 }));
  const two = await inspectPackage(
    gzipSync(tar([{ name: "package/", type: "5" }, ...entries.reverse()]), { level: 9 }),
  );
  assert.equal(one.digest, two.digest);
  const other = await inspectPackage(tgz(good([{ name: "package/README.md", body: "" }])));
  assert.notEqual(other.digest, one.digest);
});

test("a package that only declares needs no code", async () => {
  const { entrypoint: _, ...declaration } = manifest;
  const content = await inspectPackage(tgz([{ name: "package/plugin.json", body: JSON.stringify(declaration) }]));
  assert.equal(content.code, undefined);
});

test("what is not one whole gzip file is refused", async () => {
  const whole = tgz(good());
  await refused(new Uint8Array(), /not a gzip file/);
  await refused(Buffer.from("PK\x03\x04 a zip file"), /not a gzip file/);
  await refused(tar(good()), /not a gzip file/);
  await refused(whole.subarray(0, whole.length - 9), /truncated/);
  await refused(whole.subarray(0, 20), /truncated/);
  const damaged = Buffer.from(whole);
  damaged[whole.length - 6]! ^= 0xff;
  await refused(damaged, /damaged/);
  await refused(Buffer.concat([whole, Buffer.from("trailing garbage")]), /damaged/);
  await refused(Buffer.concat([whole, Buffer.alloc(1000)]), /after the end of the gzip/);
  await refused(Buffer.concat([whole, whole]), /after the end/);
  await refused(gzipSync(whole), /compressed twice/);
});

test("a gzip bomb is refused when it passes the cap, in little time", async () => {
  const bomb = gzipSync(Buffer.alloc(150 * 1024 * 1024), { level: 9 });
  assert.ok(bomb.byteLength < packageLimits.archiveBytes);
  const start = performance.now();
  await refused(bomb, /expands to more than 24 MB/);
  assert.ok(performance.now() - start < 2000);
});

test("sizes beyond the limits are refused by what is too large", async () => {
  const fault = await refused(Buffer.alloc(packageLimits.archiveBytes + 1), /payload_too_large/, "payload_too_large");
  assert.deepEqual(fault.data.details, { size: packageLimits.archiveBytes + 1, limit: packageLimits.archiveBytes });
  await refused(
    tgz(good([{ name: "package/index.js", body: `//${"x".repeat(packageLimits.codeBytes)}` }])),
    /its code has 5 MB/,
  );
  await refused(
    tgz(
      good([
        {
          name: "package/plugin.json",
          body: JSON.stringify({ ...manifest, "x-pad": "x".repeat(packageLimits.manifestBytes) }),
        },
      ]),
    ),
    /plugin\.json has/,
  );
  await refused(
    tgz(good([{ name: "package/index.js.map", body: "x".repeat(packageLimits.sourceMapBytes + 1) }])),
    /source map has/,
  );
});

test("a missing or unusable manifest, entrypoint or code is named", async () => {
  await refused(tgz([]), /no 'package\/plugin.json'/);
  await refused(tgz([{ name: "package/package.json", body: "{}" }]), /no 'package\/plugin.json'/);
  await refused(tgz([{ name: "package/plugin.json", body: JSON.stringify(manifest) }]), /"\.\/index\.js" is not in it/);
  await refused(tgz(packageEntries({ ...manifest, entrypoint: "./index.ts" }, code)), /not a bundled .js file/);
  await refused(tgz(good([{ name: "package/index.js", body: Buffer.from([0xff, 0xfe]) }])), /not UTF-8/);
  await refused(tgz(good([{ name: "package/plugin.json", body: Buffer.from([0xff, 0xfe]) }])), /not UTF-8/);
  await refused(
    tgz(good([{ name: "package/index.js", body: "let a = ;" }])),
    /not a JavaScript script: Unexpected token ';' \(line 1\)/,
  );
  await refused(tgz(good([{ name: "package/index.js", body: "export default {};" }])), /is a module/);
  await refused(tgz(good([{ name: "package/index.js", body: "import x from 'y';" }])), /is a module/);
  await refused(tgz(good([{ name: "package/index.js", body: "(".repeat(1e6) }])), /not a JavaScript script/);
  await refused(
    tgz(good([{ name: "package/index.js", body: `x=${"[".repeat(2e6)}${"]".repeat(2e6)}` }])),
    /not a JavaScript script/,
  );
});

test("faults of the manifest come with field and line", async () => {
  const bad = JSON.stringify({ ...manifest, id: "NOT OK", permissions: ["*"] }, null, 2);
  const fault = await refused(
    tgz(good([{ name: "package/plugin.json", body: bad }])),
    /invalid_manifest/,
    "invalid_manifest",
  );
  assert.deepEqual(fault.data.errors?.map(({ path }) => path).sort(), ["id", "permissions[0]"]);
  assert.ok(fault.data.errors?.every(({ line }) => line && line > 1));
  assert.equal(fault.data.details["plugin"], "NOT OK");
});

test("code is compiled, never run", async () => {
  const marked = globalThis as { packageRan?: boolean };
  await inspectPackage(
    tgz(good([{ name: "package/index.js", body: "globalThis.packageRan = true; process.exit(7)" }])),
  );
  assert.equal(marked.packageRan, undefined);
});

test("a stranger's text in a reason is shortened and free of control characters", async () => {
  const fault = await refused(tgz([{ name: "x\u001b[31m\u202e\n", body: "" }]), /./);
  assert.doesNotMatch(fault.message, /\p{C}/u);
});

test("mutated and random packages are taken or refused, and nothing else (property)", async () => {
  const seed = tgz(
    good([
      { name: "package/index.js.map", body: "{}" },
      { name: "package/README.md", body: "# hi" },
    ]),
  );
  const mutated = fc
    .array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const bytes = Buffer.from(seed);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes;
    });
  const inner = fc
    .array(fc.tuple(fc.nat(tar(good()).length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const bytes = tar(good());
      for (const [at, byte] of changes) bytes[at] = byte;
      return gzipSync(bytes);
    });
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, inner, fc.uint8Array({ maxLength: 500 })), async (bytes) => {
      await inspectPackage(bytes).catch((error) => assert.ok(error instanceof PackageFault, String(error)));
    }),
    { numRuns: 600 },
  );
});
