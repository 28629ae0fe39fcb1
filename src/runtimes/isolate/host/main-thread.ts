/** What the kernel says of a process's main thread: whether it runs, waits or was stopped, and what it has used. */
import { readFileSync } from "node:fs";

export interface MainThread {
  /** `running` also while it waits for a core. */
  state: "running" | "waiting" | "stopped" | "other";
  /** CPU in ticks of the kernel. */
  ticks: number;
}

/** Undefined where there is no /proc. */
export function mainThread(pid: number): MainThread | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/task/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The name before may hold anything, brackets too.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { state: states[fields[0]!] ?? "other", ticks: Number.isFinite(ticks) ? ticks : 0 };
}

const states: Readonly<Record<string, MainThread["state"]>> = {
  R: "running",
  S: "waiting",
  T: "stopped",
  t: "stopped",
};
