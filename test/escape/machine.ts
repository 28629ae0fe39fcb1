/** What the machine says about processes: descendants, their CPU and memory. Reads /proc; elsewhere it sees nothing. */
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessSample {
  pid: number;
  parent: number;
  command: string;
  /** CPU used so far, ms (ticks of 10 ms). */
  cpuMs: number;
  residentBytes: number;
  state: string;
}

export function readProcess(pid: number): ProcessSample | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const open = text.indexOf("(");
    const close = text.lastIndexOf(")");
    const fields = text.slice(close + 2).split(" ");
    return {
      pid,
      command: text.slice(open + 1, close),
      state: fields[0]!,
      parent: Number(fields[1]),
      cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
      residentBytes: Number(fields[21]) * 4096,
    };
  } catch {
    return undefined;
  }
}

/** True when a thread of the process runs or waits for a core: what burns CPU does so always, however busy the machine is. */
export function wantsCpu(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1");
      return text.slice(text.lastIndexOf(")") + 2, text.lastIndexOf(")") + 3) === "R";
    });
  } catch {
    return false;
  }
}

/** Living descendants of `root`, without zombies. */
export function descendants(root: number): ProcessSample[] {
  let all: ProcessSample[];
  try {
    all = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => readProcess(Number(name)))
      .filter((sample) => sample !== undefined);
  } catch {
    return [];
  }
  const family = new Set([root]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const sample of all) {
      if (!family.has(sample.pid) && family.has(sample.parent)) {
        family.add(sample.pid);
        grown = true;
      }
    }
  }
  return all.filter((sample) => sample.pid !== root && family.has(sample.pid) && sample.state !== "Z");
}

/** The longest time that this process's main thread worked without letting its event loop turn. */
export class LoopMonitor {
  #timer: NodeJS.Timeout | undefined;
  #lastWall = performance.now();
  #lastCpu = threadCpuMs();
  /** CPU of the main thread within one turn: what our own code, not a busy machine, held up. */
  worstCpuMs = 0;
  /** Wall time of one turn; on a busy machine this includes waiting for a core. */
  worstWallMs = 0;

  start(): this {
    this.#timer = setInterval(() => {
      const wall = performance.now();
      const cpu = threadCpuMs();
      this.worstWallMs = Math.max(this.worstWallMs, wall - this.#lastWall - 5);
      this.worstCpuMs = Math.max(this.worstCpuMs, cpu - this.#lastCpu);
      this.#lastWall = wall;
      this.#lastCpu = cpu;
    }, 5);
    return this;
  }

  /** Gives the worst since the last call and begins anew. */
  take(): { cpuMs: number; wallMs: number } {
    const taken = { cpuMs: this.worstCpuMs, wallMs: this.worstWallMs };
    this.worstCpuMs = 0;
    this.worstWallMs = 0;
    return taken;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
