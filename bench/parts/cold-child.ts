/**
 * Cold starts inside a runner's process: plain (isolate, context, prelude and bundle as the engine compiles them, as anyone
 * would write it), with warm code caches, and from a pool of blank isolates. Answers one start of each a request, in ms.
 */
import { createRequire } from "node:module";
import { setPriority } from "node:os";
import { dirname } from "node:path";
import ivm from "isolated-vm";
import { Inbound } from "../../src/runtimes/isolate/guest/message-kind.ts";
import { guestPrelude } from "../../src/runtimes/isolate/host/build-guest.ts";
import { createEngine, type EngineIsolate } from "../../src/runtimes/isolate/runner/engine.ts";
import { serve } from "./child.ts";
import { argsText } from "./handlers.ts";
import { smallPlugin } from "./small-plugin.ts";

setPriority(5);
const main = createRequire(import.meta.url).resolve("isolated-vm");
const addon = (createRequire(main)("node-gyp-build") as { path(folder: string): string }).path(dirname(main));
const { text: prelude } = await guestPrelude();
const code = await smallPlugin();
const engine = createEngine(addon, prelude);
const environment = JSON.stringify({
  organization: "acme",
  plugin: { id: "acme.bench", version: "1.0.0" },
  config: {},
  abilities: ["log.write", "data.getById"],
  permissions: [],
});
const limits = JSON.stringify({
  pendingAbilityCalls: 64,
  timers: 100,
  messageBytes: 1_000_000,
  logBytes: 64_000,
  outboxBytes: 2_000_000,
});
const label = JSON.stringify({
  handler: ["functions", "next"],
  environment: { id: "execution-1", deadline: "2030-01-01T00:00:00.000Z" },
});
const begin = [Inbound.load, 1, 0, environment, limits];
const first = [Inbound.call, 2, 0, label, argsText];

const create = (): EngineIsolate => engine.create({ memoryMb: 64, onCatastrophe: (text) => console.error(text) });

function plain(): number {
  const from = performance.now();
  const isolate = new ivm.Isolate({ memoryLimit: 64 });
  const context = isolate.createContextSync();
  context.global.setSync("__backplaneSeed", "x".repeat(64));
  const entries = isolate.compileScriptSync(prelude).runSync(context, { reference: true }) as unknown as ivm.Reference<{
    enter(...batch: unknown[]): void;
    drain(): string;
  }>;
  const enter = entries.getSync("enter", { reference: true }) as unknown as ivm.Reference<() => void>;
  isolate.compileScriptSync(code, { filename: "main.js" }).runSync(context, { reference: true });
  try {
    enter.applySync(undefined, begin as never);
  } catch (error) {
    if (error !== 0) throw error;
  }
  const ms = performance.now() - from;
  isolate.dispose();
  return ms;
}

async function cached(isolate: EngineIsolate, from: number, cache: Uint8Array): Promise<number> {
  await isolate.load({ code, filename: "main.js", cache }, begin);
  const ms = performance.now() - from;
  isolate.dispose();
  return ms;
}

const warming = create();
await warming.load({ code, filename: "main.js", cache: undefined }, begin);
for (let n = 0; n < 3; n++) await warming.enter(first);
const cache = (await warming.produceCache())!;
warming.dispose();

serve(async () => {
  const blank = create();
  await new Promise((resolve) => setTimeout(resolve, 2));
  const pooled = await cached(blank, performance.now(), cache);
  const from = performance.now();
  const warm = await cached(create(), from, cache);
  return { plain: plain(), warm, pooled };
});
