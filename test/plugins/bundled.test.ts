/** Bundled plugins are the best documentation: each folder has the same files, and says the same in manifest, code and README. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";
import { type TestPluginOptions, testKitKey } from "../../plugin-api/src/testing.ts";
import { createPluginKit } from "../../src/authoring/plugin-kit.ts";
import { createScriptedServices } from "../../src/authoring/scripted-services.ts";
import type { KitHub } from "../../src/authoring/tested-hub.ts";
import { isObject } from "../../src/base/json.ts";
import type { Hub } from "../../src/hub.ts";
import { composeHub } from "../../src/main.ts";
import { secretFields } from "../../src/manifest/secret-fields.ts";
import { openTestStore } from "../../src/store/test-store.ts";
import { type BundledPlugin, bundledPlugins, root } from "./bundled-plugin.ts";
import { uncoveredUses, unusedPermissions } from "./permission-use.ts";
import { type QualityEntry, type QualityRule, qualityRules } from "./quality-rules.ts";

const plugins = bundledPlugins();

// What `backplane test` does for one folder, with one hub and one runner for the tests of all.
const dataDir = await mkdtemp(join(tmpdir(), "backplane-bundled-"));
const services = await createScriptedServices();
let started: Promise<Hub> | undefined;
const startHub = async (): Promise<KitHub> => {
  started ??= openTestStore().then((store) =>
    // Each test is an organisation of its own, and would get a runner of its own: two hundred starts, and as many processes.
    composeHub(
      { dataDir, logLevel: "silent", pluginsDir: null, isolation: "shared" },
      { override: services.override, store },
    ),
  );
  return { hub: await started, services };
};
const testPlugin = createPluginKit({ dir: root, hub: startHub });
/** The folder whose tests run now. */
let dir = root;
Object.assign(globalThis, { [testKitKey]: (options: TestPluginOptions) => testPlugin({ dir, ...options }) });
after(async () => {
  await (await started)?.close({ drainMs: 0 });
  await services[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});

test("there are bundled plugins", () => assert.ok(plugins.length >= 3));

for (const plugin of plugins) {
  const { manifest, parsed, quality } = plugin;
  const isDone = (rule: QualityRule): boolean => quality[rule] === "done";
  const definition = /definePlugin<[\s\S]*?^\}\);/m.exec(plugin.code)?.[0] ?? "";

  describe(plugin.folder, () => {
    test("the manifest is valid, in our own shape", () => {
      assert.deepEqual(parsed.faults, []);
      assert.equal(parsed.dialect, "canonical");
    });

    test("has the files that every bundled plugin has", () => {
      const wanted = ["plugin.json", "index.ts", "README.md", "quality.json"];
      assert.deepEqual(
        wanted.filter((file) => !plugin.files.includes(file)),
        [],
      );
      assert.ok(plugin.tests.length > 0, `${plugin.name}.test.ts`);
    });

    test("has fixtures when it talks to a vendor", () => {
      if (vendorHosts(plugin).length > 0) assert.ok(plugin.fixtures.length > 0, "fixtures/ is empty");
    });

    test("uses only the public contract", () => {
      const imports = [...plugin.code.matchAll(/\bfrom "([^"]+)"/g)].map((match) => match[1]!);
      assert.deepEqual(
        // `../health-model.ts` lies beside the folders of the plugins that share it.
        imports.filter((name) => name !== "@backplane/plugin-api" && !/^\.\.?\/[\w.-]+$/.test(name)),
        [],
      );
    });

    test("the README has its sections, and lists exactly the fields and permissions of the manifest", () => {
      const headings = [...plugin.readme.matchAll(/^## (.+)$/gm)].map((match) => match[1]!);
      for (const wanted of ["Configuration", "Permissions", "Limits"]) assert.ok(headings.includes(wanted), wanted);
      const fields = Object.keys((manifest.configSchema["properties"] as object | undefined) ?? {});
      assert.deepEqual(firstColumn(plugin, "Configuration").toSorted(), fields.toSorted());
      assert.deepEqual(
        firstColumn(plugin, "Permissions").toSorted(),
        [...manifest.permissions, ...manifest.optionalPermissions].toSorted(),
      );
    });

    test("the README says which fields are required, and which are sealed", () => {
      const rows = section(plugin, "Configuration").split("\n");
      const required = (manifest.configSchema["required"] as string[] | undefined) ?? [];
      const secrets = secretFields(manifest.configSchema).map(({ field }) => field);
      for (const field of Object.keys((manifest.configSchema["properties"] as object | undefined) ?? {})) {
        const row = rows.find((line) => line.startsWith(`| \`${field}\``)) ?? "";
        assert.equal(/\brequired\b/.test(row), required.includes(field), `${field}: required`);
        assert.equal(/\bsealed\b/.test(row), secrets.includes(field), `${field}: sealed`);
      }
    });

    test("the code uses nothing that the manifest does not ask for", () => assert.deepEqual(uncoveredUses(plugin), []));

    test("handlers and contributions name each other", () => {
      const { functions = [], subscriptions = [] } = manifest.contributes;
      for (const name of [...functions.map((entry) => entry.name), ...subscriptions])
        assert.match(plugin.code, new RegExp(`(\\b|")${name.replace(/[.*]/g, "\\$&")}"?\\s*[(:]`), name);
      for (const part of ["webhook", "channel", "connector"] as const)
        assert.equal(
          new RegExp(`^ {2}(async )?${part}\\s*[(:]`, "m").test(definition),
          manifest.contributes[part] !== undefined,
          part,
        );
    });

    test("quality.json answers every rule, and says why where the answer is not done", () => {
      assert.deepEqual(Object.keys(quality).toSorted(), Object.keys(qualityRules).toSorted());
      for (const [rule, entry] of Object.entries(quality))
        assert.ok(isEntry(entry), `${rule}: ${JSON.stringify(entry)}`);
    });

    test("what quality.json calls done, is", () => {
      const schemas = [
        manifest.configSchema,
        ...(manifest.contributes.functions ?? []).map(({ parameters }) => parameters ?? {}),
      ];
      const evidence: Partial<Record<QualityRule, boolean>> = {
        readme: plugin.readme.length > 300,
        "permissions-used": unusedPermissions(plugin).length === 0,
        "bounded-parameters": schemas.every(isBounded),
        "results-declared": (manifest.contributes.functions ?? []).every(({ returns }) => returns !== undefined),
        "secrets-bound": secretFields(manifest.configSchema).every(({ expose }) => !expose),
        tests: plugin.tests.length > 0,
        fixtures: plugin.fixtures.length > 0,
        "vendor-sources":
          /https:\/\//.test(plugin.commented.replace(plugin.code, "")) && plugin.commented !== plugin.code,
        "webhooks-verified": /timingSafeEqual\(/.test(plugin.code) && /\b40[134]\b/.test(plugin.code),
        health: /^ {2}(async )?health\s*[(:]/m.test(definition),
      };
      for (const [rule, holds] of Object.entries(evidence) as [QualityRule, boolean][])
        assert.ok(!isDone(rule) || holds, `${rule} is not done: ${qualityRules[rule]}`);
    });

    test("exemptions hold: no secrets, webhooks or vendors where it says so", () => {
      const isExempt = (rule: QualityRule): boolean => isObject(quality[rule]) && quality[rule]["status"] === "exempt";
      assert.ok(!isExempt("secrets-bound") || secretFields(manifest.configSchema).length === 0);
      assert.ok(!isExempt("webhooks-verified") || manifest.contributes.webhook === undefined);
      assert.ok(!isExempt("fixtures") || vendorHosts(plugin).length === 0);
      const reason = isExempt("permissions-used")
        ? String((quality["permissions-used"] as { reason: string }).reason)
        : "";
      assert.deepEqual(
        unusedPermissions(plugin).filter(
          (permission) => isExempt("permissions-used") && !reason.includes(`\`${permission}\``),
        ),
        [],
      );
    });

    for (const file of plugin.tests)
      describe(`its tests pass in the production sandbox: ${file}`, async () => {
        let ran = 0;
        before(() => {
          dir = join(root, plugin.folder);
        });
        beforeEach(() => {
          ran += 1;
        });
        const fault = await import(join(root, plugin.folder, file)).then(() => undefined, asError);
        test("the file loads and holds tests", () => {
          assert.ifError(fault);
          assert.ok(ran > 1, "no test but this one");
        });
      });
  });
}

test("the tests of a bundled plugin pass through `backplane test` as well", { timeout: 180_000 }, async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--no-warnings", join(root, "src/cli.ts"), "test", join(root, "plugins/domains/greeter"), "--json"],
    { cwd: root, maxBuffer: 16 * 1024 * 1024 },
  ).catch((error: { stdout: string }) => error);
  const outcome = JSON.parse(stdout.slice(stdout.indexOf("{"))) as { passed: number; failed: number };
  assert.ok(outcome.passed > 0 && outcome.failed === 0, stdout.slice(0, 4000));
});

test("the plugins' tests compile: with the types that authors have, or with the hub's where they drive a hub", async () => {
  const files = plugins.flatMap(({ folder, tests }) => tests.map((file) => join(root, folder, file)));
  const drivesHub = (file: string): boolean => readFileSync(file, "utf8").includes('from "../../../');
  const authored = files.filter((file) => !drivesHub(file));
  const types = ["plugin-api/src/globals.d.ts", "plugin-api/types/node-test.d.ts"].map((file) => join(root, file));
  assert.equal(await compile("tsconfig.plugins.json", [...authored, ...types], { typeRoots: [] }), "");
  const others = files.filter(drivesHub);
  if (others.length > 0)
    assert.equal(await compile("tsconfig.json", others, { typeRoots: [join(root, "node_modules/@types")] }), "");
});

/** What the compiler says of `files`, under the options of one of our own configurations. */
async function compile(base: string, files: readonly string[], options: object): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "backplane-plugins-"));
  try {
    const config = { extends: join(root, base), compilerOptions: { rootDir: "/", ...options }, files, include: [] };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(root, "node_modules/.bin/tsc");
    const { stdout } = await promisify(execFile)(tsc, ["--noEmit", "-p", folder]).catch(
      (error: { stdout: string }) => error,
    );
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function section({ readme }: BundledPlugin, heading: string): string {
  return readme.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
}

/** The words in backticks that begin the rows of a section's table. */
function firstColumn(plugin: BundledPlugin, heading: string): string[] {
  return [...section(plugin, heading).matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]!);
}

function vendorHosts({ manifest }: BundledPlugin): string[] {
  return [...manifest.permissions, ...manifest.optionalPermissions].filter((text) =>
    text.startsWith("network:outbound"),
  );
}

function isEntry(entry: unknown): entry is QualityEntry {
  if (entry === "done") return true;
  if (!isObject(entry)) return false;
  const { status, reason, ...rest } = entry;
  return (
    (status === "todo" || status === "exempt") &&
    typeof reason === "string" &&
    reason.length > 10 &&
    Object.keys(rest).length === 0
  );
}

/** Objects are closed, and every text has a greatest length (or a pattern, an enum, a format that bounds it). */
function isBounded(schema: unknown): boolean {
  if (!isObject(schema)) return true;
  if (schema["type"] === "object" && schema["additionalProperties"] !== false) return false;
  if (
    schema["type"] === "string" &&
    !["maxLength", "pattern", "enum", "format", "const"].some((word) => word in schema)
  )
    return false;
  return (
    Object.values(isObject(schema["properties"]) ? schema["properties"] : {}).every(isBounded) &&
    isBounded(schema["items"])
  );
}

function asError(fault: unknown): Error {
  return fault instanceof Error ? fault : new Error(String(fault));
}
