/**
 * Looks like a network socket to the `pg` client and leads to the PGlite worker. It owns the deadline: PGlite ignores
 * `statement_timeout`, so a worker that does not answer in time is ended, which the client sees as a lost connection.
 */
import { EventEmitter } from "node:events";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { PgliteAnswer, PgliteRequest, PgliteWorkerData } from "./pglite-worker.ts";
import { runOutsideTransactionScope } from "./transaction-scope.ts";
import { endsReady } from "./wire.ts";

// V8 has aborted processes while it freed compiled code of PGlite (nodejs/node#64500). The code that is kept instead is the
// first, unoptimised version of what was compiled again: some megabytes for an engine.
setFlagsFromString("--no-wasm-code-gc");

/** A worker thread, or what a test puts in its place. */
export interface EngineWorker {
  on(event: "message", listener: (answer: PgliteAnswer) => void): unknown;
  on(event: "error", listener: (error: unknown) => void): unknown;
  on(event: "exit", listener: () => void): unknown;
  postMessage(request: PgliteRequest, transfer: ArrayBuffer[]): void;
  terminate(): Promise<unknown>;
  ref(): void;
  unref(): void;
}

export interface PgliteSocketOptions {
  data: PgliteWorkerData;
  /** @default a new thread */
  startWorker?: ((data: PgliteWorkerData) => EngineWorker) | undefined;
  /** Longest time one request may take before the worker is ended. */
  deadlineMs(): number;
}

/** AuthenticationOk, then ReadyForQuery (idle): the worker's database asks no one who they are. */
const startupAnswer = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);
const terminate = 0x58;
/** Time for the engine to start; a recovery after a crash replays at most a few write-ahead segments. */
const startMs = 60_000;
const closeMs = 10_000;

interface Pending {
  resolve?: (answer: PgliteAnswer) => void;
  reject?: (error: Error) => void;
}

export class PgliteSocket extends EventEmitter {
  writable = true;
  #options: PgliteSocketOptions;
  #worker: EngineWorker | undefined;
  #pending: Pending[] = [];
  #corked = 0;
  #held: Uint8Array[] = [];
  #timer: NodeJS.Timeout | undefined;
  #started = false;
  #closed = false;
  #ended = Promise.withResolvers<void>();

  constructor(options: PgliteSocketOptions) {
    super();
    this.#options = options;
  }

  /** Resolves once the worker is gone: only then may another open the same folder. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  connect(): this {
    const { data, startWorker = startThread } = this.#options;
    this.#worker = runOutsideTransactionScope(() => startWorker(data));
    this.#worker.on("message", (answer: PgliteAnswer) => this.#onAnswer(answer));
    this.#worker.on("error", (error) => this.destroy(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on("exit", () => this.destroy(new Error("Connection terminated: the database worker ended")));
    this.#arm(startMs);
    return this;
  }

  cork(): void {
    this.#corked += 1;
  }

  uncork(): void {
    this.#corked -= 1;
    if (this.#corked === 0) this.#flush();
  }

  write(bytes: Uint8Array, done?: () => void): boolean {
    if (bytes[0] === terminate && bytes.byteLength === 5) {
      done?.();
      return true;
    }
    // A startup message is the only one without a type byte; its length starts with zero.
    if (bytes[0] === 0) {
      queueMicrotask(() => this.emit("data", startupAnswer));
      return true;
    }
    this.#held.push(bytes);
    if (this.#corked === 0) this.#flush();
    done?.();
    return true;
  }

  /** Asks the worker for something that is no SQL. */
  request(request: "image" | "close"): Promise<PgliteAnswer> {
    return new Promise((resolve, reject) => this.#send(request, { resolve, reject }));
  }

  /** Flushes the database and ends the worker. */
  async close(): Promise<void> {
    if (!this.#closed && this.#started) await this.request("close").catch(() => {});
    this.destroy();
    await this.ended;
  }

  end(): void {
    this.close().catch(() => {});
  }

  destroy(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.writable = false;
    clearTimeout(this.#timer);
    const worker = this.#worker;
    for (const pending of this.#pending.splice(0)) pending.reject?.(error ?? new Error("Connection terminated"));
    if (error) this.emit("error", error);
    const gone = (): void => {
      this.#ended.resolve();
      this.emit("end");
      this.emit("close");
    };
    if (worker) worker.terminate().then(gone, gone);
    else gone();
  }

  setNoDelay(): void {}
  setKeepAlive(): void {}
  ref(): void {
    this.#worker?.ref();
  }
  unref(): void {
    this.#worker?.unref();
  }

  #flush(): void {
    if (this.#held.length === 0) return;
    const held = this.#held;
    this.#held = [];
    // A fresh buffer: it is moved to the worker, not copied, and never a view of Node's shared pool.
    const all = new Uint8Array(held.reduce((size, bytes) => size + bytes.byteLength, 0));
    let offset = 0;
    for (const bytes of held) {
      all.set(bytes, offset);
      offset += bytes.byteLength;
    }
    this.#send(all, {});
  }

  #send(request: PgliteRequest, pending: Pending): void {
    if (this.#closed || !this.#worker) {
      pending.reject?.(new Error("Connection terminated"));
      return;
    }
    this.#pending.push(pending);
    if (this.#pending.length === 1 && this.#started)
      this.#arm(request === "close" ? closeMs : this.#options.deadlineMs());
    this.#worker.postMessage(request, request instanceof Uint8Array ? [request.buffer as ArrayBuffer] : []);
  }

  #onAnswer(answer: PgliteAnswer): void {
    if (answer === "ready") {
      this.#started = true;
      clearTimeout(this.#timer);
      this.emit("connect");
      return;
    }
    const pending = this.#pending.shift();
    if (this.#pending.length > 0) this.#arm(this.#options.deadlineMs());
    else clearTimeout(this.#timer);
    if (answer instanceof Uint8Array && !pending?.resolve) {
      this.emit("data", Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength));
      // A database that gave up (a full disk under its log) answers with an error and is never ready again.
      if (!endsReady(answer)) this.destroy(new Error("Connection terminated: the database gave up"));
    } else if (typeof answer === "object" && "fault" in answer) {
      const error = new Error(`Connection terminated: ${answer.fault}`);
      if (pending?.reject) pending.reject(error);
      else this.destroy(error);
    } else {
      pending?.resolve?.(answer);
    }
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    if (!Number.isFinite(ms)) return;
    this.#timer = setTimeout(() => this.destroy(new Error(`Connection terminated: no answer within ${ms} ms`)), ms);
  }
}

function startThread(workerData: PgliteWorkerData): EngineWorker {
  const file = new URL(`./pglite-worker${import.meta.url.slice(-3)}`, import.meta.url);
  return new Worker(file, { workerData, execArgv: [], name: "pglite" });
}
