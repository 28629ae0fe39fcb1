/**
 * Bundles everything that stands in an isolate before plugin code into one script, whose value is the pair of functions
 * the runner holds. Runs in the hub, once a process; a packed hub carries the text as a file beside the guest's sources.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface GuestPrelude {
  text: string;
  /** sha256 of the text; part of every code cache's key. */
  hash: string;
}

let built: Promise<GuestPrelude> | undefined;

/** The guest prelude of this hub. */
export function guestPrelude(): Promise<GuestPrelude> {
  built ??= load().catch((error: unknown) => {
    built = undefined;
    throw error;
  });
  return built;
}

async function load(): Promise<GuestPrelude> {
  const packed = fileURLToPath(new URL("../guest/prelude.generated.js", import.meta.url));
  const source = fileURLToPath(new URL("../guest/main.ts", import.meta.url));
  const text = existsSync(source) ? await buildGuestPrelude(source) : readFileSync(packed, "utf8");
  return { text, hash: createHash("sha256").update(text).digest("hex") };
}

/** Bundles the prelude from its sources. Called by the tool that packs the hub, too. */
export async function buildGuestPrelude(entry: string): Promise<string> {
  const { build } = await import("esbuild");
  const result = await build({
    entryPoints: [entry],
    // A plugin may delete its globals; the prelude's are taken before.
    inject: [join(dirname(entry), "globals.ts")],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "entries",
    target: "es2024",
    platform: "neutral",
    minify: true,
    keepNames: false,
    legalComments: "none",
    logLevel: "silent",
  });
  // The bundle's variable stays inside a function: nothing of the prelude is reachable from the global scope.
  return `(()=>{"use strict";${result.outputFiles[0]!.text}\nreturn{enter:entries.enter,drain:entries.drain};})()`;
}
