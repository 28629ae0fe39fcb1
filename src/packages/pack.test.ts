import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { parseManifest } from "../manifest/parse-manifest.ts";
import { createFolderLoader, loadFolder } from "./load-folder.ts";
import { packPlugin } from "./pack.ts";
import { greeterFiles, greeterManifest, pluginFolder } from "./plugin-folder.fixture.ts";

const run = promisify(execFile);

test("a packed folder is an npm-style tarball that tar unpacks, and its digest can be checked by hand", async () => {
  await using folder = await pluginFolder({
    ...greeterFiles,
    LICENSE: "Apache-2.0",
    "notes.txt": "private",
    ".env": "SECRET=1",
  });
  const out = join(folder.dir, "out.tgz");
  const packed = await packPlugin(folder.dir, { out });
  assert.deepEqual(await readFile(out), Buffer.from(packed.tgz));
  const { stdout } = await run("tar", ["tzf", out]);
  assert.deepEqual(
    stdout.trim().split("\n"),
    ["LICENSE", "README.md", "index.js", "index.js.map", "plugin.json"].map((name) => `package/${name}`),
  );
  await run("tar", ["xzf", out, "-C", folder.dir]);
  const byHand = await run("sh", ["-c", "cd package && sha256sum $(find * -type f | LC_ALL=C sort) | sha256sum"], {
    cwd: folder.dir,
  });
  assert.equal(`sha256:${byHand.stdout.split(" ")[0]}`, packed.digest);
  const manifest = JSON.parse(await readFile(join(folder.dir, "package/plugin.json"), "utf8"));
  assert.equal(manifest.entrypoint, "./index.js");
  assert.deepEqual(manifest.permissions, greeterManifest.permissions);
});

test("packing equal folders twice gives equal bytes", async () => {
  await using one = await pluginFolder(greeterFiles);
  await using two = await pluginFolder(Object.fromEntries(Object.entries(greeterFiles).reverse()));
  const first = await packPlugin(one.dir);
  const second = await packPlugin(two.dir);
  assert.deepEqual(Buffer.from(first.tgz), Buffer.from(second.tgz));
  await two.write({ "README.md": "# Other\n" });
  assert.notEqual((await packPlugin(two.dir)).digest, first.digest);
});

const dialects = {
  "Made Open, on disk": {
    type: "connector",
    permissions: ["network:outbound:graph.microsoft.com", "event:publish:connector.*"],
    configSchema: { type: "object", properties: { clientId: { type: "string" } }, required: ["clientId"] },
  },
  "Made Open, SDK": {
    type: "connector",
    permissions: { network: ["api.twilio.com"] },
    config: [{ key: "sid", type: "string", label: "SID" }],
  },
  MLEbotics: {
    capabilities: ["notification"],
    permissions: ["network:outbound", "read:org"],
    config: [{ key: "token", type: "string", label: "Token", required: true }],
  },
  canonical: greeterManifest,
};

for (const [dialect, fields] of Object.entries(dialects)) {
  test(`the manifest packed from ${dialect} reads back as itself`, async () => {
    const source = {
      ...fields,
      id: "mlebotics/slack-notifier",
      name: "Notifier",
      version: "1.0.0",
      entrypoint: "./index.ts",
    };
    await using folder = await pluginFolder({ "index.ts": "export default {}", "plugin.json": JSON.stringify(source) });
    const { manifest, files } = await packPlugin(folder.dir);
    const again = parseManifest(Buffer.from(files.get("plugin.json")!).toString());
    assert.deepEqual(again.faults, []);
    assert.deepEqual(again.manifest, manifest);
  });
}

test("faults of the manifest name field and line, before anything is bundled", async () => {
  await using folder = await pluginFolder({
    "plugin.json": `{\n  "id": "acme.x",\n  "name": "X",\n  "version": "one",\n  "entrypoint": "./gone.ts"\n}`,
  });
  await assert.rejects(packPlugin(folder.dir), (error: { code: string; errors: { path: string; line: number }[] }) => {
    assert.equal(error.code, "invalid_manifest");
    assert.deepEqual(
      error.errors.map(({ path, line }) => [path, line]),
      [["version", 4]],
    );
    return true;
  });
  await rm(join(folder.dir, "plugin.json"));
  await assert.rejects(packPlugin(folder.dir), /has 1 fault/);
  await assert.rejects(packPlugin(join(folder.dir, "nowhere")), { code: "invalid_manifest" });
  await folder.write({ "plugin.json": JSON.stringify({ ...greeterManifest, entrypoint: "./gone.ts" }) });
  await assert.rejects(packPlugin(folder.dir), { code: "bundle_failed" });
});

test("a folder that only declares is loaded without code", async () => {
  const { entrypoint: _, ...declaration } = greeterManifest;
  await using folder = await pluginFolder({ "plugin.json": JSON.stringify(declaration) });
  const loaded = await loadFolder(folder.dir);
  assert.equal(loaded.code, undefined);
  assert.deepEqual([...loaded.files.keys()], ["plugin.json"]);
});

test("a loader follows changes of code and of the entrypoint in well under a second", async () => {
  await using folder = await pluginFolder(greeterFiles);
  await using loader = createFolderLoader(folder.dir);
  const first = await loader.load();
  await folder.write({ "greet.ts": "export const greet = (who: string) => who;" });
  const start = performance.now();
  const second = await loader.load();
  assert.ok(performance.now() - start < 500);
  assert.notEqual(second.digest, first.digest);
  await folder.write({
    "other.ts": "export default { other: 1 };",
    "plugin.json": JSON.stringify({ ...greeterManifest, entrypoint: "other.ts" }),
  });
  assert.match((await loader.load()).code ?? "", /other:1/);
  await folder.write({ "plugin.json": "{" });
  await assert.rejects(loader.load(), { code: "invalid_manifest" });
});
