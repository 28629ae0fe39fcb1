/**
 * Finds what a bundle would have to load from outside itself: Node built-ins, modules on other servers, dynamic imports.
 * Each is refused with the chain of imports that leads to it. A built-in that a package replaces (its `browser` field, or
 * a package of that name in node_modules), that is never used, or that is only tried (`try { require("fs") } catch {}`)
 * does no harm and passes.
 */
import { readFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { resolve } from "node:path";
import { type BuildOptions, build, type Message, type Metafile, type Plugin } from "esbuild";
import type { FieldError } from "../errors/error.ts";

/** Marks an import that must not be left in the output; the part behind it is what the author wrote. */
const mark = "backplane-refused:";
const builtins = new Set(builtinModules);

export function isBuiltin(name: string): boolean {
  return name.startsWith("node:") || builtins.has(name) || builtins.has(name.split("/")[0] ?? "");
}

/** `evenTried` marks `require` calls too: then esbuild does not fail on them, and the metafile shows who made them. */
export function refuseForeignImports(evenTried = false): Plugin {
  return {
    name: "backplane-foreign-imports",
    setup(esbuild) {
      esbuild.onResolve({ filter: /^(?:[a-z]+:)?\/\// }, ({ path }) => ({ path: mark + path, external: true }));
      esbuild.onResolve({ filter: /^[a-z_]/ }, async ({ path, kind, importer, resolveDir, pluginData, namespace }) => {
        if (pluginData === mark || !isBuiltin(path)) return undefined;
        if (!path.startsWith("node:")) {
          const found = await esbuild.resolve(path, { kind, importer, resolveDir, namespace, pluginData: mark });
          if (found.errors.length === 0 && !found.external) return undefined;
        }
        if (kind === "require-call" && !evenTried) return undefined;
        return { path: mark + path, external: true, sideEffects: false };
      });
    },
  };
}

/** Faults for what the output still imports, each with its chain. Empty when the bundle stands alone. */
export async function findForeignImports(metafile: Metafile, root: string): Promise<FieldError[]> {
  const left = new Set(Object.values(metafile.outputs).flatMap((output) => output.imports.map((one) => one.path)));
  // Only the inputs tell an import() from a require: in the output both have become a call of esbuild's shim.
  const made = Object.values(metafile.inputs).flatMap((input) => input.imports);
  const refused = made.filter((one) => one.external && (one.path.startsWith(mark) || one.kind === "dynamic-import"));
  const targets = new Set(refused.map((one) => one.path).filter((path) => left.has(path)));
  return Promise.all([...targets].map((target) => faultFor(metafile, target, root)));
}

/** For "Could not resolve" messages about built-ins: builds once more with them left out, to learn the chains. */
export async function explainBuiltins(messages: readonly Message[], settings: BuildOptions): Promise<FieldError[]> {
  const names = messages.map((message) => /^Could not resolve "(.+)"$/.exec(message.text)?.[1] ?? "").filter(isBuiltin);
  if (names.length === 0) return [];
  const plugins = (settings.plugins ?? []).map((plugin) =>
    plugin.name === "backplane-foreign-imports" ? refuseForeignImports(true) : plugin,
  );
  const others: Plugin = {
    name: "backplane-unresolved",
    setup: ({ onResolve, resolve: find }) =>
      onResolve({ filter: /.*/ }, async ({ path, pluginData, ...from }) => {
        if (pluginData === mark) return undefined;
        const found = await find(path, { ...from, pluginData: mark });
        return found.errors.length > 0 ? { path, external: true } : undefined;
      }),
  };
  const result = await build({ ...settings, metafile: true, plugins: [...plugins, others] }).catch(() => undefined);
  const root = settings.absWorkingDir ?? ".";
  return Promise.all(
    [...new Set(names)].map((name) =>
      result?.metafile
        ? faultFor(result.metafile, mark + name, root)
        : { path: "entrypoint", message: refusal(name, []) },
    ),
  );
}

async function faultFor(metafile: Metafile, target: string, root: string): Promise<FieldError> {
  const name = target.startsWith(mark) ? target.slice(mark.length) : target;
  const chain = shortestChain(metafile, target);
  const importer = chain.at(-1);
  if (importer === undefined) return { path: "entrypoint", message: refusal(name, []) };
  const message = refusal(name, chain);
  const line = await lineOfImport(resolve(root, importer), name);
  return line === undefined ? { path: importer, message } : { path: importer, message, line };
}

function refusal(name: string, chain: string[]): string {
  const way = chain.length > 0 ? ` Imported by: ${[...chain, name].join(" → ")}.` : "";
  if (isBuiltin(name)) {
    return `The Node built-in "${name}" does not exist in a plugin; what a plugin can do is on its ctx.${way}`;
  }
  return `"${name}" is not part of the bundle, and a plugin cannot load code later.${way}`;
}

/** Files from the entrypoint to the one that imports `target`, breadth first. */
function shortestChain(metafile: Metafile, target: string): string[] {
  const start = Object.keys(metafile.inputs).find((input) => input.endsWith("backplane-entry"));
  if (start === undefined) return [];
  const cameFrom = new Map<string, string | undefined>([[start, undefined]]);
  for (const file of cameFrom.keys()) {
    const imports = metafile.inputs[file]?.imports ?? [];
    if (imports.some((one) => one.external && one.path === target)) {
      const chain: string[] = [];
      for (let at: string | undefined = file; at !== undefined && at !== start; at = cameFrom.get(at))
        chain.unshift(at);
      return chain;
    }
    for (const { path, external } of imports) if (!external && !cameFrom.has(path)) cameFrom.set(path, file);
  }
  return [];
}

async function lineOfImport(file: string, name: string): Promise<number | undefined> {
  const source = await readFile(file, "utf8").catch(() => "");
  const at = [`"${name}"`, `'${name}'`, `\`${name}\``]
    .map((quoted) => source.indexOf(quoted))
    .filter((index) => index >= 0);
  return at.length === 0 ? undefined : source.slice(0, Math.min(...at)).split("\n").length;
}
