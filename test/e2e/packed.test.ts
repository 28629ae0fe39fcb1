/** The packed hub: `npm pack` emits JavaScript, and what it ships can be imported and run from node_modules. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

test("the packed tarball installs beside its dependencies, embeds a hub and calls a plugin", async () => {
  const folder = await mkdtemp(join(tmpdir(), "backplane-packed-"));
  try {
    const { stdout } = await run("npm", ["pack", "--json", "--loglevel=error", "--pack-destination", folder], {
      cwd: root,
      maxBuffer: 64 * 1024 * 1024,
    });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf("["))) as { filename: string; files: { path: string }[] }[];
    const shipped = packed!.files.map((file) => file.path);
    assert.ok(shipped.includes("dist/src/main.js"), "the hub's JavaScript is shipped");
    assert.deepEqual(shipped.filter(isStray), []);
    const script = "dist/src/runtimes/isolate/runner/script.generated.js";
    assert.deepEqual(
      [script, `${script}.map`].filter((path) => !shipped.includes(path)),
      [],
    );

    const target = join(folder, "node_modules/backplane");
    mkdirSync(target, { recursive: true });
    await run("tar", ["-xzf", join(folder, packed!.filename), "--strip-components=1", "-C", target]);
    linkDependencies(join(root, "node_modules"), join(folder, "node_modules"));
    await writeFile(
      join(folder, "embed.mjs"),
      `import { readFileSync } from "node:fs";
       import { createPlatform } from "backplane";
       const platform = await createPlatform({ dataDir: "data", logLevel: "error" });
       const rt = await platform.runtime("org-123");
       const plugin = await rt.plugin.install("backplane.greeter", { grants: "all" });
       await rt.plugin.updateConfig(plugin.id, { greeting: "Good day" });
       await rt.plugin.activate(plugin.id);
       const children = readFileSync("/proc/" + process.pid + "/task/" + process.pid + "/children", "utf8").trim().split(" ");
       const commands = children.map((pid) => readFileSync("/proc/" + pid + "/cmdline", "utf8").split("\\0"));
       const runsScript = commands.some((words) => words.includes("--permission") && words.includes("-"));
       console.log(JSON.stringify({ runsScript, before: plugin.status, answer: await rt.plugin.invoke(plugin.id, "hello", { who: "Ada" }) }));
       await platform.close();`,
    );
    const embedded = await run(process.execPath, ["embed.mjs"], { cwd: folder, timeout: 60_000 });
    assert.deepEqual(JSON.parse(embedded.stdout), {
      runsScript: true,
      before: "pending_config",
      answer: { text: "Good day, Ada" },
    });

    const help = await run(join(target, "bin/backplane"), ["--help"], { cwd: folder, timeout: 30_000 });
    assert.match(help.stdout, /create-plugin/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** Sources and tests stay at home; of TypeScript only declarations and the bundled plugins travel. */
function isStray(path: string): boolean {
  if (/\.test\.|\/fixtures\/|^(src|test|bench)\//.test(path)) return true;
  return path.endsWith(".ts") && !path.endsWith(".d.ts") && !path.startsWith("dist/plugins/");
}

/** Everything the checkout has installed, but for itself. */
function linkDependencies(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (name === "backplane" || name === "@backplane" || existsSync(join(to, name))) continue;
    symlinkSync(join(from, name), join(to, name));
  }
}
