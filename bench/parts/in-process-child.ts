/**
 * E: the same work in one process and on one thread: our prelude and bridge, entered directly; the "hub" is a function. No
 * sockets, no runner, no limits but the slice. Runs at a runner's priority.
 */
import { createRequire } from "node:module";
import { setPriority } from "node:os";
import { dirname } from "node:path";
import { Inbound, Outbound } from "../../src/runtimes/isolate/guest/message-kind.ts";
import { guestPrelude } from "../../src/runtimes/isolate/host/build-guest.ts";
import { createEngine, type EngineIsolate } from "../../src/runtimes/isolate/runner/engine.ts";
import { readOutbox } from "../../src/runtimes/isolate/runner/outbox.ts";
import { serve } from "./child.ts";
import { argsText, definition, rowText } from "./handlers.ts";

setPriority(5);
const require = createRequire(import.meta.resolve("isolated-vm"));
const addon = (require("node-gyp-build") as { path(folder: string): string }).path(
  dirname(createRequire(import.meta.url).resolve("isolated-vm")),
);
const engine = createEngine(addon, (await guestPrelude()).text);

interface Slot {
  isolate: EngineIsolate;
  inbox: (number | string)[];
  calls: number;
}

const slots: Slot[] = [];
const sliceMs = 250;
/** As many messages as a runner puts into one entry. */
const maxBatch = 128 * 5;
const environment = JSON.stringify({
  organization: "acme",
  plugin: { id: "acme.test", version: "1.0.0" },
  config: {},
  abilities: ["log.write", "progress.report", "events.emit", "data.getById", "data.query"],
  permissions: [],
});
const limits = JSON.stringify({
  pendingAbilityCalls: 1024,
  timers: 100,
  messageBytes: 1_000_000,
  logBytes: 64_000,
  outboxBytes: 2_000_000,
});

async function add(): Promise<void> {
  const isolate = engine.create({ memoryMb: 32, onCatastrophe: (message) => console.error(message) });
  const source = {
    code: `(() => { globalThis.__backplanePlugin = (${definition}); })();`,
    filename: "main.js",
    cache: undefined,
  };
  await isolate.load(source, [Inbound.load, 1, 0, environment, limits]);
  slots.push({ isolate, inbox: [], calls: 1 });
}

interface Request {
  isolates: number;
  inFlight: number;
  ms: number;
  handler: string;
}

async function run({ isolates, inFlight, ms, handler }: Request): Promise<{ perSecond: number; cpuMicros: number }> {
  while (slots.length < isolates) await add();
  const used = slots.slice(0, isolates);
  const label = JSON.stringify({
    handler: ["functions", handler],
    environment: { id: "execution-1", deadline: new Date(Date.now() + 60_000).toISOString() },
  });
  let next = 0;
  let done = 0;
  let open = 0;
  let stopping = false;
  const begin = (): void => {
    const slot = used[next++ % isolates]!;
    slot.calls += 1;
    open += 1;
    slot.inbox.push(Inbound.call, slot.calls, 0, label, argsText);
  };
  const enter = (slot: Slot): void => {
    const batch = slot.inbox.length <= maxBatch ? slot.inbox : slot.inbox.slice(0, maxBatch);
    slot.inbox = batch === slot.inbox ? [] : slot.inbox.slice(maxBatch);
    const fine = readOutbox(slot.isolate.enterInline(batch, sliceMs), (record) => {
      if (record.kind === Outbound.ability) slot.inbox.push(Inbound.answer, record.id, record.aux, "", rowText);
      else if (record.kind === Outbound.result) {
        done += 1;
        open -= 1;
        if (!stopping) begin();
      } else throw new Error(`a call ended with ${record.kind}: ${record.body}`);
    });
    if (!fine) throw new Error("an outbox could not be read");
  };
  for (let i = 0; i < inFlight; i++) begin();
  const warm = performance.now() + ms / 5;
  let from = 0;
  let doneBefore = 0;
  let cpuBefore = process.cpuUsage();
  for (;;) {
    for (const slot of used) if (slot.inbox.length > 0) enter(slot);
    const now = performance.now();
    if (from === 0 && now >= warm) {
      from = now;
      doneBefore = done;
      cpuBefore = process.cpuUsage();
    }
    if (from > 0 && now - from >= ms) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const counted = done - doneBefore;
  const took = performance.now() - from;
  const cpu = process.cpuUsage(cpuBefore);
  stopping = true;
  while (open > 0) for (const slot of used) if (slot.inbox.length > 0) enter(slot);
  return { perSecond: (counted / took) * 1000, cpuMicros: (cpu.user + cpu.system) / counted };
}

serve(run);
