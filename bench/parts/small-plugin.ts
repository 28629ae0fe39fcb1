/** A small plugin with a date library in it, a little over 26 KB after bundling (croner comes with the hub; nothing else of that size does). */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = `
import { Cron } from "croner";

globalThis.__backplanePlugin = {
  functions: {
    noop: async (params) => ({ ok: true, id: params.id }),
    lookup: async (params, ctx) => ({ row: await ctx.data.getById("contacts", params.id) }),
    next: async ({ pattern = "0 9 * * 1", from = "2026-01-01T00:00:00Z" }) => ({
      next: new Cron(pattern, { utcOffset: 0 }).nextRun(new Date(from)).toISOString(),
    }),
  },
};
`;

let made: Promise<string> | undefined;

/** The bundle: one IIFE. */
export function smallPlugin(): Promise<string> {
  made ??= build({
    stdin: { contents: source, resolveDir: fileURLToPath(new URL("../..", import.meta.url)), loader: "js" },
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    platform: "neutral",
    mainFields: ["module", "main"],
    logLevel: "silent",
  }).then((result) => result.outputFiles[0]!.text);
  return made;
}
