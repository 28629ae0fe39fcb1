/** Labels of protocol version 1: small JSON objects, parsed strictly, and usage packed into 16 bytes. */
import { ProtocolFault } from "./frame.ts";

export interface HelloLabel {
  version: number;
  /** Heap limit of the blank isolates kept ready, MB. */
  poolMemoryMb: number;
  /** Blank isolates kept ready; 0 for none. */
  poolSize: number;
  /** Entries on the thread pool at once. */
  maxEntries: number;
  /** A main thread that stands still longer than this ends its process, ms. */
  stallMs: number;
}

export interface InstanceLimits {
  memoryMb: number;
  cpuMs: number;
  concurrency: number;
  pendingAbilityCalls: number;
  timers: number;
  messageBytes: number;
  logBytes: number;
}

export interface LoadLabel {
  limits: InstanceLimits;
  /** Shown in stack frames. */
  filename: string;
  environmentBytes: number;
  codeBytes: number;
  cacheBytes: number;
}

export interface CallLabel {
  handler: readonly string[];
  environment: Record<string, unknown>;
}

export interface ReadyLabel {
  version: number;
  pid: number;
  /** Changes with whatever makes a code cache unusable. */
  engine: string;
}

/**
 * `isolate`: one instance was given up. `inline_overrun`: so was one that was trusted with the main thread and held it too
 * long; its calls may be made again. `uncaught`: an error nobody handled, the instance goes on. `poisoned`: the process must end, calls of others may finish
 * first.
 */
export interface FaultLabel {
  kind: "isolate" | "poisoned" | "inline_overrun" | "uncaught";
  code: "cpu_exceeded" | "memory_exceeded" | "limit_exceeded" | "plugin_error" | "runner_lost";
  reason: string;
  /** Calls that are to blame, and what each had cost. */
  calls: number[];
  cpuMicros: number[];
  /** It goes on growing, or no thread is free: others cannot be waited for. */
  urgent: boolean;
}

export interface StatsLabel {
  blanks: number;
  instances: number;
  entries: number;
  inlineInstances: number;
  cpuMicros: number;
}

/** Parses a JSON label whose own fields have the same types as in `shape`. Throws ProtocolFault. */
export function parseLabel<T extends object>(bytes: Uint8Array, shape: { [K in keyof T]-?: string }): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    throw new ProtocolFault("a label is not JSON");
  }
  if (typeof value !== "object" || value === null) throw new ProtocolFault("a label is not an object");
  for (const [name, type] of Object.entries<string>(shape as Record<string, string>)) {
    const field = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
    const actual = Array.isArray(field) ? "array" : field === null ? "null" : typeof field;
    if (actual !== type) throw new ProtocolFault(`label field ${name} is ${actual}`);
    if (type === "number" && !(Number.isFinite(field) && (field as number) >= 0)) {
      throw new ProtocolFault(`label field ${name} is ${String(field)}`);
    }
  }
  return value as T;
}

export const readyShape = { version: "number", pid: "number", engine: "string" } as const;
export const faultShape = {
  kind: "string",
  code: "string",
  reason: "string",
  calls: "array",
  cpuMicros: "array",
  urgent: "boolean",
} as const;
export const helloShape = {
  version: "number",
  poolMemoryMb: "number",
  poolSize: "number",
  maxEntries: "number",
  stallMs: "number",
} as const;
export const loadShape = {
  limits: "object",
  filename: "string",
  environmentBytes: "number",
  codeBytes: "number",
  cacheBytes: "number",
} as const;
export const statsShape = {
  blanks: "number",
  instances: "number",
  entries: "number",
  inlineInstances: "number",
  cpuMicros: "number",
} as const;

export interface Usage {
  cpuMicros: number;
  peakBytes: number;
}

export const usageBytes = 16;

/** CPU in microseconds and peak memory in KiB, both as u32. */
export function encodeUsage(usage: Usage): Uint8Array {
  const bytes = Buffer.allocUnsafe(usageBytes);
  bytes.writeUInt32LE(Math.min(Math.max(0, Math.round(usage.cpuMicros)), 0xffffffff), 0);
  bytes.writeUInt32LE(Math.min(Math.max(0, Math.round(usage.peakBytes / 1024)), 0xffffffff), 4);
  bytes.writeBigUInt64LE(0n, 8);
  return bytes;
}

export function decodeUsage(label: Uint8Array): Usage {
  if (label.length !== usageBytes) throw new ProtocolFault(`usage of ${label.length} bytes`);
  const view = new DataView(label.buffer, label.byteOffset, label.byteLength);
  return { cpuMicros: view.getUint32(0, true), peakBytes: view.getUint32(4, true) * 1024 };
}
