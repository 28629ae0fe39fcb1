/** The global `console`: every line goes to the plugin's log. */
import type { GuestHost } from "./host-port.ts";
import { formatLog, inspect } from "./inspect.ts";

type Level = "debug" | "info" | "warn" | "error";

export function createConsole(host: GuestHost, now: () => number): Record<string, (...data: unknown[]) => void> {
  const { send } = host;
  let indent = "";
  const counts = new Map<string, number>();
  const starts = new Map<string, number>();

  const write = (level: Level, data: readonly unknown[]): void => send("log.write", [level, indent + formatLog(data)]);
  const labelOf = (label: unknown): string => (label === undefined ? "default" : `${label as string}`).slice(0, 200);
  const remember = (map: Map<string, number>, label: string, value: number): void => {
    // Labels are the plugin's: only so many are kept.
    if (map.size < 1000 || map.has(label)) map.set(label, value);
  };
  const elapsed = (label: string): string => `${label}: ${now() - (starts.get(label) ?? now())} ms`;

  return {
    log: (...data) => write("info", data),
    info: (...data) => write("info", data),
    debug: (...data) => write("debug", data),
    trace: (...data) => write("debug", data),
    warn: (...data) => write("warn", data),
    error: (...data) => write("error", data),
    dir: (value) => write("info", [inspect(value)]),
    table: (value) => write("info", [inspect(value)]),
    assert(condition, ...data) {
      if (!condition) write("error", ["Assertion failed", ...data]);
    },
    count(label) {
      const name = labelOf(label);
      const value = (counts.get(name) ?? 0) + 1;
      remember(counts, name, value);
      write("info", [`${name}: ${value}`]);
    },
    countReset(label) {
      counts.delete(labelOf(label));
    },
    group(...data) {
      if (data.length > 0) write("info", data);
      if (indent.length < 40) indent += "  ";
    },
    groupEnd() {
      indent = indent.slice(2);
    },
    time(label) {
      remember(starts, labelOf(label), now());
    },
    timeLog(label, ...data) {
      write("info", [elapsed(labelOf(label)), ...data]);
    },
    timeEnd(label) {
      const name = labelOf(label);
      write("info", [elapsed(name)]);
      starts.delete(name);
    },
  };
}
