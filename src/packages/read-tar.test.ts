import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { writeArchive } from "./archive.ts";
import { packageLimits } from "./limits.ts";
import { PackageFault } from "./package-fault.ts";
import { type PackageFiles, readTar } from "./read-tar.ts";
import { pax, type TarEntry, tar, tarEntry } from "./tar.fixture.ts";

const file = (name: string | Uint8Array, more: Partial<TarEntry> = {}): TarEntry => ({ name, body: "x", ...more });

test("plain files are read, folders are left out, in every dialect that npm, GNU and BSD tar write", () => {
  const deep = `package/${"d/".repeat(5)}${"n".repeat(120)}`;
  const files = readTar(
    tar([
      file("package", { type: "5", body: "" }),
      file("package/sub/", { type: "5", body: "" }),
      file("package/sub/a.js", { body: "one" }),
      file("./package/b.js", { body: "" }),
      pax({ path: deep, mtime: "1.5", "LIBARCHIVE.xattr.x": "y" }),
      file("package/cut"),
      tarEntry({ name: "././@LongLink", type: "L", body: `package/${"l".repeat(150)}\0` }),
      file("package/cut-too", { magic: "ustar  \0" }),
      file("c.txt", { prefix: "package/pre" }),
      pax({ comment: "commit" }, "g"),
      file("package/é.txt"),
    ]),
  );
  assert.deepEqual([...files.keys()], ["sub/a.js", "b.js", deep.slice(8), "l".repeat(150), "pre/c.txt", "é.txt"]);
  assert.equal(Buffer.from(files.get("sub/a.js")!).toString(), "one");
});

const hostileNames: [string, string | Uint8Array, RegExp][] = [
  ["a way out", "package/../../etc/passwd", /leads out/],
  ["a way out at the start", "../package/x", /leads out/],
  ["a way out at the end", "package/..", /leads out/],
  ["an absolute path", "/etc/passwd", /absolute/],
  ["an absolute path in the folder", "package//etc", /empty or '.'/],
  ["a backslash", "package\\..\\..\\x", /backslash/],
  ["a drive letter", "C:/x", /holds one of/],
  ["an alternate stream", "package/a.js:evil", /holds one of/],
  ["a dot segment", "package/./x", /empty or '.'/],
  ["a trailing slash", "package/x/", /empty or '.'/],
  ["a trailing dot", "package/index.js.", /ends with a dot/],
  ["a trailing space", "package/index.js ", /space/],
  ["a device name", "package/CON", /device/],
  ["a device name with extension", "package/nul.js", /device/],
  ["a line break", "package/a\nb", /control/],
  ["right-to-left override", "package/a\u202esj.exe", /control or invisible/],
  ["zero-width characters", "package/in\u200bdex.js", /invisible/],
  ["full-width dots and slash", "package/\uff0e\uff0e\uff0fx", /normalised/],
  ["a one-dot-leader pair", "package/\u2024\u2024/x", /normalised/],
  ["decomposed letters", "package/e\u0301.js", /normalised/],
  ["invalid UTF-8", Buffer.from([0x70, 0x61, 0x2f, 0xff, 0xfe]), /UTF-8/],
  ["overlong UTF-8 of a slash", Buffer.from("package/\xc0\xaf..", "latin1"), /UTF-8/],
  ["bytes behind a NUL", "package/a.js\0../../x", /NUL/],
  ["another top folder", "other/index.js", /outside the folder 'package\/'/],
  ["a look-alike top folder", "packag\u0435/index.js", /outside/],
  ["no folder", "plugin.json", /outside/],
  ["no name", "", /empty/],
];

for (const [what, name, reason] of hostileNames) {
  test(`a file name with ${what} is refused`, () => refused([file(name)], reason));
}

test("a hostile name is refused in a pax header and in a GNU long name too", () => {
  refused([pax({ path: "package/../x" }), file("package/x")], /leads out/);
  refused([pax({ path: "package/a\0b" }), file("package/x")], /NUL/);
  refused([tarEntry({ name: "L", type: "L", body: "../x\0" }), file("package/x")], /leads out/);
  refused([tarEntry({ name: "L", type: "L", body: "package/a\0/../../b" }), file("package/x")], /behind a NUL/);
  refused([tarEntry({ name: "L", type: "L", body: "\0" }), file("package/x")], /empty/);
  refused([file("package/x", { type: "5", body: "" }), file("../x", { type: "5", body: "" })], /leads out/);
});

test("links, devices, sparse files and unknown types are refused by name", () => {
  const kinds = {
    "1": "hard link",
    "2": "symbolic link",
    "3": "character device",
    "4": "block device",
    "6": "named pipe",
    S: "sparse",
    K: "long link",
    Z: "unknown",
  };
  for (const [type, reason] of Object.entries(kinds)) {
    refused([file("package/x", { type, body: "", link: "/etc/passwd" })], new RegExp(reason));
  }
  refused([pax({ "GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999" }), file("package/x")], /GNU.sparse/);
});

test("one file under two names is refused, also where only some systems see it", () => {
  refused([file("package/a"), file("package/a")], /two entries named/);
  refused([file("package/a"), file("./package/a")], /two entries named/);
  refused([file("package/Index.js"), file("package/index.js")], /same file on some systems/);
  refused([file("package/stra\u00dfe"), file("package/STRASSE")], /same file/);
  refused([file("package/\u0131"), file("package/i")], /same file/);
  refused([file("package/A/x"), file("package/a/y")], /same folder/);
  refused([file("package/a"), file("package/a/b")], /both a file and a folder/);
  refused([file("package/a/b"), file("package/A")], /same file/);
  refused([pax({ path: "package/plugin.json" }), file("package/other"), file("package/plugin.json")], /two entries/);
});

test("headers that lie are refused", () => {
  refused([file("package/a", { checksum: "000000\0 " })], /wrong checksum/);
  refused([file("package/a", { size: "77777777777\0" })], /truncated/);
  refused([file("package/a", { size: "-0000000001\0" })], /octal/);
  refused([file("package/a", { size: "\x80\0\0\0\0\0\0\0\0\0\0\x01" })], /octal/);
  refused([file("package/a", { size: "1e3        \0" })], /octal/);
  refused([file("package/a", { size: "\0\0\0\0\0\0\0\0\0\0\0\0" })], /octal/);
  refused([file("package/a", { magic: "\0\0\0\0\0\0\0\0" })], /ustar/);
  refused([file("package/d", { type: "5", body: "data" })], /has content/);
  refused([pax({ size: "1" }), file("package/a")], /"size"/);
  refused([pax({ linkpath: "/etc/passwd" }), file("package/a")], /"linkpath"/);
  refused([pax({ path: "package/b" }, "g"), file("package/a")], /global header/);
  refused([pax({ path: "package/b" }), pax({ mtime: "1" }), file("package/a")], /two extended headers/);
  refused([pax({ path: "package/b" })], /before the end/);
  for (const body of [
    "5 a=b",
    "99 path=package/x\n",
    "0 a=b\n",
    "-5 a=b\n",
    "a=b\n",
    "7 path\n",
    "9999999 a=b\n",
    "5 =b\n\n",
  ]) {
    refused([tarEntry({ name: "P", type: "x", body }), file("package/a")], /malformed/);
  }
  refused(
    [tarEntry({ name: "P", type: "x", body: "x".repeat(packageLimits.extendedHeaderBytes + 1) }), file("package/a")],
    /too large/,
  );
});

test("an archive that is cut, continues after its end, or holds too much is refused", () => {
  const whole = tar([file("package/a", { body: "y".repeat(700) })]);
  for (const length of [0, 1, 511, 512, 1023, 1024, 1535, 1536, 1540])
    refusedBytes(whole.subarray(0, length), /truncated/);
  refusedBytes(Buffer.concat([whole, Buffer.from("more")]), /after the end/);
  refusedBytes(Buffer.concat([whole, tar([file("package/hidden")])]), /after the end/);
  refusedBytes(Buffer.concat([whole, Buffer.alloc(100)]), /inside a block/);
  refused(
    Array.from({ length: packageLimits.entries + 1 }, (_, n) => file(`package/${n}`)),
    /more than 1000 entries/,
  );
  refused([file(`package/${"d/".repeat(20)}x`)], /deeper than/);
  refused([pax({ path: `package/${"x".repeat(600)}` }), file("package/x")], /longer than/);
});

const fileName = fc.stringMatching(/^[a-z0-9_-]{1,20}(\/[a-z0-9_-]{1,20}){0,3}$/);

test("whatever is written canonically is read back the same (property)", async () => {
  const content = fc.uniqueArray(fc.tuple(fileName, fc.uint8Array({ maxLength: 2000 })), {
    maxLength: 12,
    // One segment a name: names that are folders of others are refused by design.
    selector: ([path]) => path.split("/")[0]!.toLowerCase(),
  });
  await fc.assert(
    fc.asyncProperty(content, async (pairs) => {
      const files: PackageFiles = new Map(
        pairs.filter(([path]) => !/(^|\/)(con|prn|aux|nul|com\d|lpt\d)(\/|$)/.test(path)),
      );
      const back = readTar(gunzipSync(await writeArchive(files)));
      assert.deepEqual(
        new Map([...back].map(([path, bytes]) => [path, Buffer.from(bytes).toString("hex")])),
        new Map(
          [...files]
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([path, bytes]) => [path, Buffer.from(bytes).toString("hex")]),
        ),
      );
    }),
    { numRuns: 150 },
  );
});

test("random and mutated archives are read or refused, and never hold a path that leads out (property)", () => {
  const seed = tar([
    file("package/plugin.json", { body: "{}" }),
    pax({ path: "package/long/name.js" }),
    file("package/x", { body: "z".repeat(600) }),
    tarEntry({ name: "L", type: "L", body: "package/gnu\0" }),
    file("package/y"),
    file("package/dir/", { type: "5", body: "" }),
  ]);
  const mutation = fc.record({ at: fc.nat(seed.length - 1), byte: fc.nat(255), repair: fc.boolean() });
  const mutated = fc.array(mutation, { minLength: 1, maxLength: 8 }).map((changes) => {
    const bytes = Buffer.from(seed);
    for (const { at, byte, repair } of changes) {
      bytes[at] = byte;
      if (repair) repairChecksum(bytes, at - (at % 512));
    }
    return bytes;
  });
  const cut = fc.tuple(mutated, fc.nat(seed.length)).map(([bytes, length]) => bytes.subarray(0, length));
  const random = fc.uint8Array({ maxLength: 3000 });
  fc.assert(
    fc.property(fc.oneof(mutated, cut, random), (bytes) => {
      try {
        for (const [path, content] of readTar(bytes)) {
          assert.ok(!path.split("/").includes("..") && !/[\0\\:]/.test(path) && !path.startsWith("/"), path);
          assert.ok(content.byteLength <= bytes.byteLength);
        }
      } catch (error) {
        assert.ok(error instanceof PackageFault, String(error));
      }
    }),
    { numRuns: 5000 },
  );
});

function repairChecksum(bytes: Buffer, block: number): void {
  const header = bytes.subarray(block, block + 512);
  header.fill(0x20, 148, 156);
  header.write(
    `${header
      .reduce((total, byte) => total + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
    "latin1",
  );
}

function refused(entries: readonly (TarEntry | Buffer)[], reason: RegExp): void {
  refusedBytes(tar(entries), reason);
}

function refusedBytes(bytes: Uint8Array, reason: RegExp): void {
  assert.throws(
    () => readTar(bytes),
    (error) => error instanceof PackageFault && reason.test(error.message),
    `expected ${reason}`,
  );
}
