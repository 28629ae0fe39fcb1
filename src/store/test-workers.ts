/** Lends the database workers of tests (test-worker.ts): one that comes back whole is rewound and lent again. */
import { EventEmitter } from "node:events";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { EngineWorker } from "./pglite-socket.ts";
import type { PgliteAnswer, PgliteRequest, PgliteWorkerData } from "./pglite-worker.ts";
import type { TestWorkerData } from "./test-worker.ts";

interface Machine {
  thread: Worker;
  control: MessagePort;
}

/** Machines hold some 100 MB each; few tests have more than one store at a time. */
const mostIdle = 2;
const idle: Machine[] = [];

/** For `openPgliteDriver`, in memory only: a worker that is new, or as good as new. All calls must give the same data. */
export function lendWorker(data: PgliteWorkerData): EngineWorker {
  const kept = idle.pop();
  if (kept) return new LentWorker(kept, true);
  const { port1: control, port2 } = new MessageChannel();
  const workerData: TestWorkerData = { ...data, control: port2 };
  const file = new URL("./test-worker.ts", import.meta.url);
  const thread = new Worker(file, { workerData, transferList: [port2], execArgv: [], name: "pglite of tests" });
  control.unref();
  return new LentWorker({ thread, control }, false);
}

/** What the socket takes for a worker of its own: it is gone when it is told to end, while the machine goes on. */
class LentWorker extends EventEmitter implements EngineWorker {
  #machine: Machine;
  #underWay = 0;
  #returned = false;
  #forward = {
    message: (answer: PgliteAnswer): void => {
      if (answer !== "ready") this.#underWay -= 1;
      this.emit("message", answer);
    },
    error: (error: unknown): void => void this.emit("error", error),
    exit: (): void => void this.emit("exit"),
  };

  constructor(machine: Machine, isWarm: boolean) {
    super();
    this.#machine = machine;
    machine.thread.ref();
    for (const [event, listener] of Object.entries(this.#forward)) machine.thread.on(event, listener);
    if (isWarm) setImmediate(() => this.emit("message", "ready" satisfies PgliteAnswer));
  }

  postMessage(request: PgliteRequest, transfer: ArrayBuffer[]): void {
    if (request === "close" && this.#underWay === 0) {
      void this.#giveBack();
      return;
    }
    this.#underWay += 1;
    this.#machine.thread.postMessage(request, transfer);
  }

  async terminate(): Promise<void> {
    if (!this.#returned) await this.#end();
  }

  ref(): void {
    this.#machine.thread.ref();
  }

  unref(): void {
    this.#machine.thread.unref();
  }

  async #giveBack(): Promise<void> {
    const { thread, control } = this.#machine;
    if (idle.length < mostIdle && (await rewind(this.#machine))) {
      this.#returned = true;
      for (const [event, listener] of Object.entries(this.#forward)) thread.off(event, listener);
      thread.unref();
      control.unref();
      idle.push(this.#machine);
    }
    this.emit("message", "closed" satisfies PgliteAnswer);
  }

  async #end(): Promise<void> {
    this.#machine.control.close();
    await this.#machine.thread.terminate();
  }
}

/** Whether the machine is as new again; a thread that ends meanwhile is not. */
async function rewind({ thread, control }: Machine): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onExit = (): void => resolve(false);
  control.once("message", resolve);
  thread.once("exit", onExit);
  control.ref();
  control.postMessage("rewind");
  const isNew = await promise;
  thread.off("exit", onExit);
  return isNew;
}
