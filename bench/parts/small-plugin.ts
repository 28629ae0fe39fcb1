/** A plugin of about 26 KB: what a small one with two npm dependencies looks like after bundling. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = `
import address from "ipaddr.js";
import coerce from "semver/functions/coerce.js";
import increment from "semver/functions/inc.js";
import ms from "ms";

const units = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];
const words = Object.fromEntries(units.map((unit, n) => [unit, { one: "one " + unit, many: unit + "s", rank: n }]));

globalThis.__backplanePlugin = {
  functions: {
    noop: async (params) => ({ ok: true, id: params.id }),
    lookup: async (params, ctx) => ({ row: await ctx.data.getById("contacts", params.id) }),
    next: async ({ version = "1.2", host = "192.168.1.20", wait = "2 days" }) => ({
      version: increment(coerce(version).version, "minor"),
      range: address.parse(host).range(),
      wait: ms(ms(wait) ?? 0, { long: true }),
      units: Object.keys(words).length,
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
