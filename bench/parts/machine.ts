/** What the kernel says of processes, and the machine in a line. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";

export interface ProcessMemory {
  /** Megabytes. */
  residentMb: number;
  /** Shared pages counted by share. */
  proportionalMb: number;
  privateMb: number;
}

export function memoryOf(pid: number): ProcessMemory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  const mb = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0) / 1024;
  return {
    residentMb: mb("Rss"),
    proportionalMb: mb("Pss"),
    privateMb: mb("Private_Clean") + mb("Private_Dirty"),
  };
}

/** CPU a process used so far, ms; all threads. */
export function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export function machine(): { line: string; cores: number; memoryGb: number; load: number; node: string } {
  const cores = cpus().length;
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  const load = loadavg()[0]!;
  return {
    line: `${cores} × ${cpus()[0]?.model.trim() ?? "unknown"}, ${memoryGb} GB, ${process.platform} ${process.arch}, Node ${process.version}, load ${load.toFixed(1)} at the start`,
    cores,
    memoryGb,
    load,
    node: process.version,
  };
}
