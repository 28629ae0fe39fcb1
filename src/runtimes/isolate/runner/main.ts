/**
 * Entry of a runner process. fd 3 is the socket to the hub, fd 4 takes the last words of the stall watch; the path of the
 * engine's native file is the only argument. Everything else comes by frames.
 */
import { Socket } from "node:net";
import { setPriority } from "node:os";
import { FrameParser } from "../bridge/frame-parser.ts";
import { FrameWriter } from "../bridge/frame-writer.ts";
import { Runner } from "./runner.ts";
import { StallSlot, stallSlots } from "./stall-slots.ts";
import { startStallWatch } from "./start-stall-watch.ts";

const [addon, stallMs] = process.argv.slice(2);

/** `process.exit` never returns while an isolate is stuck. */
function end(): void {
  process.kill(process.pid, "SIGKILL");
}

// A little below the hub: it goes first, but other work of the machine does not starve plugins.
const niceness = 5;
try {
  setPriority(niceness);
} catch {
  // Not every system lets us; the hub reports the wall as down.
}

const slots = new Int32Array(new SharedArrayBuffer(stallSlots * Int32Array.BYTES_PER_ELEMENT));
startStallWatch({ slots, stallMs: Number(stallMs), parent: process.ppid }, end);

const socket = new Socket({ fd: 3, readable: true, writable: true });
socket.on("error", end);
socket.on("close", end);
process.on("uncaughtException", (error) => {
  process.stderr.write(`${error.stack ?? error.message}\n`);
  end();
});

const runner = new Runner({
  addon: addon!,
  writer: new FrameWriter(socket),
  inside(instance) {
    Atomics.store(slots, StallSlot.inlineInstance, instance);
    Atomics.add(slots, StallSlot.beats, 1);
  },
  beat(active, entries) {
    Atomics.store(slots, StallSlot.entries, entries);
    Atomics.add(slots, StallSlot.beats, 1);
    const now = active ? 1 : 0;
    if (Atomics.exchange(slots, StallSlot.active, now) !== now && active) Atomics.notify(slots, StallSlot.active);
  },
});
const parser = new FrameParser("hub");
socket.on("data", (chunk: Buffer) => parser.push(chunk, (frame) => runner.handle(frame)));
