/**
 * Bundles a plugin folder with esbuild into one script (IIFE) that leaves the plugin's definition in
 * `globalThis.__backplanePlugin`. `@backplane/plugin-api` is supplied from here in any folder; Node built-ins and code
 * that would be loaded later are refused. Equal input gives equal bytes, wherever the folder lies.
 */
import { realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import {
  type BuildContext,
  type BuildFailure,
  type BuildOptions,
  type BuildResult,
  build,
  context,
  type Message,
} from "esbuild";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { explainBuiltins, findForeignImports, isBuiltin, refuseForeignImports } from "./foreign-imports.ts";
import { formatBytes, packageLimits } from "./limits.ts";
import { supplyPluginApi } from "./plugin-api-source.ts";
import { cleanSourceMap } from "./source-names.ts";

export interface PluginBundle {
  /** UTF-8 JavaScript, a script without imports. */
  code: string;
  /** Version 3 source map without source text; names are relative to the plugin's folder. */
  sourceMap: string;
  /** What esbuild found worth saying; `path` is a file relative to the folder. */
  warnings: FieldError[];
  /** Absolute paths of the author's files that went in, for watching. */
  inputs: string[];
}

export interface BundleOptions {
  /** The plugin's folder. */
  dir: string;
  /** Relative path of the entrypoint, as the manifest says it. */
  entrypoint: string;
}

/** Bundles again and again on warm caches; used while developing. */
export interface Bundler extends AsyncDisposable {
  /** Error: `bundle_failed`, whose `errors` name file and line. */
  build(): Promise<PluginBundle>;
}

type Result = BuildResult<{ write: false; metafile: true }>;

/** Error: `bundle_failed`, whose `errors` name file and line. */
export async function bundlePlugin(options: BundleOptions): Promise<PluginBundle> {
  const settings = await settingsFor(options);
  return finish(settings, () => build(settings));
}

/** Error: `bundle_failed` when there is no such entrypoint. */
export async function createBundler(options: BundleOptions): Promise<Bundler> {
  const settings = await settingsFor(options);
  const warm: BuildContext<typeof settings> = await context(settings);
  return {
    build: () => finish(settings, () => warm.rebuild()),
    [Symbol.asyncDispose]: () => warm.dispose(),
  };
}

async function settingsFor({ dir, entrypoint }: BundleOptions) {
  const root = await realpath(dir).catch(() => failed(`there is no folder ${dir}`));
  const wanted = resolve(root, entrypoint);
  const entry = await realpath(wanted).catch(() => failed(`the entrypoint ${entrypoint} does not exist`));
  if (isAbsolute(entrypoint) || leavesFolder(root, wanted) || leavesFolder(root, entry)) {
    failed(`the entrypoint ${entrypoint} is outside the plugin's folder`);
  }
  if (!(await stat(entry)).isFile()) failed(`the entrypoint ${entrypoint} is not a file`);
  const hasTsconfig = (await stat(join(root, "tsconfig.json")).catch(() => undefined))?.isFile() ?? false;

  return {
    stdin: {
      contents: `import definition from ${JSON.stringify(`./${relative(root, entry).split(sep).join("/")}`)};\nglobalThis.__backplanePlugin = definition;\n`,
      resolveDir: root,
      sourcefile: "backplane-entry",
      loader: "js",
    },
    absWorkingDir: root,
    outfile: join(root, "index.js"),
    write: false,
    metafile: true,
    bundle: true,
    format: "iife",
    target: "es2024",
    // `neutral` would ignore the replacement maps of a package's `browser` field, which is how packages say
    // what to use where there is no Node.
    platform: "browser",
    mainFields: ["browser", "module", "main"],
    conditions: ["backplane", "worker", "browser", "module"],
    define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
    supported: { "dynamic-import": false },
    keepNames: true,
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: "external",
    sourcesContent: false,
    legalComments: "inline",
    logLevel: "silent",
    logLimit: 50,
    logOverride: { "unsupported-dynamic-import": "error" },
    // A tsconfig above the folder would make the output depend on where the folder lies. The folder's own is left for
    // esbuild to find: named here, its `strict` would hold for the sloppy code of npm packages too.
    ...(hasTsconfig ? {} : { tsconfigRaw: {} }),
    plugins: [supplyPluginApi(), refuseForeignImports()],
  } satisfies BuildOptions;
}

async function finish(
  settings: Awaited<ReturnType<typeof settingsFor>>,
  run: () => Promise<Result>,
): Promise<PluginBundle> {
  const root = settings.absWorkingDir;
  let result: Result;
  try {
    result = await run();
  } catch (error) {
    const messages = (error as Partial<BuildFailure>).errors;
    if (!Array.isArray(messages)) throw error;
    const builtins = await explainBuiltins(messages, settings);
    const errors = [
      ...builtins,
      ...messages.filter((message) => !isBuiltin(unresolvedName(message))).map(toFieldError),
    ];
    return failed(errors[0] ? `${errors[0].path}: ${errors[0].message}` : "esbuild gave no reason", errors, error);
  }
  const left = await findForeignImports(result.metafile, root);
  if (left.length > 0) return failed(left[0]!.message, left);
  const code = result.outputFiles.find((file) => file.path.endsWith(".js"));
  const map = result.outputFiles.find((file) => file.path.endsWith(".map"));
  if (!code || !map) throw new Error("esbuild wrote no code");
  if (code.contents.length > packageLimits.codeBytes) {
    failed(
      `the bundle has ${formatBytes(code.contents.length)}; at most ${formatBytes(packageLimits.codeBytes)} are taken`,
    );
  }
  return {
    code: code.text,
    sourceMap: cleanSourceMap(map.text),
    warnings: result.warnings.map(toFieldError),
    inputs: Object.keys(result.metafile.inputs)
      .filter((input) => !input.includes(":") && input !== "backplane-entry")
      .map((input) => resolve(root, input)),
  };
}

function toFieldError(message: Message): FieldError {
  const where = message.location;
  const sentence = explain(message);
  if (!where || where.file === "backplane-entry") return { path: "entrypoint", message: sentence };
  return { path: where.file, message: sentence, line: where.line, column: where.column + 1 };
}

/** esbuild's text, or ours where an author needs to hear what to do instead. */
function explain(message: Message): string {
  const { text } = message;
  if (
    text.startsWith('No matching export in "') &&
    text.includes('for import "default"') &&
    message.location?.file === "backplane-entry"
  ) {
    return "The entrypoint has no default export. Write `export default definePlugin({ ... })`.";
  }
  if (message.id === "unsupported-dynamic-import") {
    return "This import() names its module at run time, so it cannot be bundled, and a plugin cannot load code later. Import each module by a fixed name.";
  }
  if (text.startsWith("Top-level await"))
    return "A plugin's modules cannot wait at top level. Move the await into init(ctx).";
  if (text.startsWith('No loader is configured for ".node"')) return "Native addons cannot run in a plugin.";
  return text;
}

function unresolvedName(message: Message): string {
  return /^Could not resolve "(.+)"$/.exec(message.text)?.[1] ?? "";
}

function leavesFolder(root: string, path: string): boolean {
  const way = relative(root, path);
  return (
    way === "" ||
    way === ".." ||
    way.startsWith(`..${sep}`) ||
    isAbsolute(way) ||
    dirname(way).split(sep).includes("..")
  );
}

function failed(reason: string, errors?: FieldError[], cause?: unknown): never {
  throw new BackplaneError(
    "bundle_failed",
    { reason: reason.replace(/\.$/, "") },
    { ...(errors && { errors }), cause },
  );
}
