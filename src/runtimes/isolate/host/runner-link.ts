/** One runner process as the hub sees it: its socket, its health, its end. Knows frames, not what they mean. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { type Frame, FrameType, protocolVersion } from "../bridge/frame.ts";
import { FrameParser } from "../bridge/frame-parser.ts";
import { FrameWriter, type OutgoingFrame } from "../bridge/frame-writer.ts";
import { type HelloLabel, parseLabel, type ReadyLabel, readyShape, type StatsLabel } from "../bridge/labels.ts";
import type { GuestPrelude } from "./build-guest.ts";
import type { HostedInstance, HostedPlacement } from "./hosted-instance.ts";
import { preferAsVictim, type RunnerCommand, residentBytes } from "./runner-command.ts";
import { namePlaces } from "./runner-stack.ts";

export interface RunnerLinkOptions {
  id: string;
  command: RunnerCommand;
  prelude: Promise<GuestPrelude>;
  hello: HelloLabel;
  onFrame(link: RunnerLink, frame: Frame): void;
  /** Once, whatever the reason. */
  onEnd(link: RunnerLink): void;
}

const crashSignals = ["SIGSEGV", "SIGABRT", "SIGILL", "SIGTRAP", "SIGBUS"];
const startWithinMs = 15_000;
/** A peer that takes no more bytes than this behind is not reading. */
const maxBacklog = 256 * 1024 * 1024;

export class RunnerLink {
  readonly id: string;
  readonly pid: number;
  /** Rejects when the process ends before it can take work. */
  readonly ready: Promise<void>;
  engine = "";
  group: string | null = null;
  role: "working" | "standby" | "quarantine" = "standby";
  /** Takes no new work; ends when its calls have. */
  leaving = false;
  lastUsed = performance.now();
  lastHeard = performance.now();
  resident = 0;
  /** What it was about a second ago, with so many instances loaded by then. */
  residentBefore = 0;
  lastInstanceBefore = 0;
  /** `lastInstance` when the memory was measured last. */
  lastInstanceMeasured = 0;
  lastTrim = 0;
  ended = false;
  /** Why it ended, when we or its watch know. */
  endReason = "";
  /** Instance its last words named; 0 for none. */
  culprit = 0;
  /** Its watch found the main thread inside the culprit for too long. */
  stoodStill = false;
  /** It crashed, or grew too large: whoever ran on it did that. */
  crashed = false;
  /** We ended it on purpose: nobody is to blame. */
  retired = false;
  /** Instance numbers and call ids are never used twice on one link. */
  lastInstance = 0;
  /** What runs on it, by instance number. */
  readonly placements = new Map<number, HostedPlacement>();
  /** What ran on it lately and was given up: a late word about it still finds whom it means. */
  readonly former = new Map<number, HostedInstance>();
  lastPing = 0;
  /** Looks in a row that found its main thread doing nothing about a ping. */
  stillLooks = 0;
  ticksAtLook = 0;
  /** What the runner last said of itself. */
  stats: StatsLabel | undefined;
  lastCall = 0;
  readonly #options: RunnerLinkOptions;
  readonly #child: ChildProcess;
  readonly #writer: FrameWriter;
  readonly #parser = new FrameParser("runner");
  #isReady = false;

  constructor(options: RunnerLinkOptions) {
    this.#options = options;
    this.id = options.id;
    const { program, args, script } = options.command;
    const child = spawn(program, args, {
      env: {},
      cwd: "/",
      stdio: [script === undefined ? "ignore" : "pipe", "ignore", "pipe", "pipe", "pipe"],
      windowsHide: true,
    });
    this.#child = child;
    this.pid = child.pid ?? 0;
    const socket = child.stdio[3] as Duplex;
    this.#writer = new FrameWriter(socket);
    this.ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.kill("it did not start in time"), startWithinMs);
      this.#onReady = () => {
        clearTimeout(timer);
        this.#isReady = true;
        resolve();
      };
      this.#onNeverReady = () => {
        clearTimeout(timer);
        reject(new Error(this.endReason || "the runner ended while it started"));
      };
    });
    this.ready.catch(() => {});
    // One that ends before it has read all says so by its end.
    child.stdin?.on("error", () => {});
    child.stdin?.end(script?.text);
    child.on("error", (error) => this.#end(error.message));
    child.on("exit", (code, signal) => {
      this.crashed ||= crashSignals.includes(signal ?? "");
      this.#endSoon(`ended with ${signal ?? `code ${code}`}`);
    });
    socket.on("error", () => this.#endSoon("its socket broke"));
    socket.on("close", () => this.#endSoon("its socket closed"));
    socket.on("data", (chunk: Buffer) => {
      this.lastHeard = performance.now();
      try {
        this.#parser.push(chunk, this.#take);
      } catch (error) {
        this.kill(error instanceof Error ? error.message : "its frames could not be read");
      }
    });
    readLines(child.stdio[4] as Readable, (line) => {
      const words = JSON.parse(line) as { reason?: unknown; instance?: unknown };
      if (typeof words.reason === "string") this.endReason = words.reason.slice(0, 200);
      if (typeof words.instance === "number" && words.instance > 0) {
        this.culprit = words.instance;
        this.stoodStill = true;
      }
    });
    child.stderr!.on("error", () => {});
    child.stderr!.on("data", (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString("utf8")).slice(0, 2000);
    });
    if (this.pid > 0) preferAsVictim(this.pid);
    options.prelude.then(
      ({ text }) => this.send({ type: FrameType.hello, label: JSON.stringify(options.hello), body: text }),
      (error: Error) => this.kill(`the guest prelude cannot be built: ${error.message}`),
    );
  }

  #said = "";
  #onReady: () => void = () => {};
  #onNeverReady: () => void = () => {};

  /** What it wrote on its standard error, at most 2,000 characters, with the places in our sources. */
  get lastError(): string {
    const { script } = this.#options.command;
    return script === undefined ? this.#said : namePlaces(this.#said, script.map);
  }

  get isReady(): boolean {
    return this.#isReady && !this.ended;
  }

  send(frame: OutgoingFrame): void {
    if (this.ended) return;
    this.#writer.send(frame);
    if (this.#writer.backlog > maxBacklog) this.kill("it stopped reading");
  }

  measure(): number {
    this.resident = this.ended ? 0 : residentBytes(this.pid);
    return this.resident;
  }

  /** Ends the process at once. SIGKILL, for nothing else is sure to work with a stuck isolate. */
  kill(reason: string): void {
    if (this.ended) return;
    if (this.endReason === "") this.endReason = reason;
    this.#child.kill("SIGKILL");
    this.#end(reason);
  }

  readonly #take = (frame: Frame): void => {
    if (this.ended) return;
    if (frame.type === FrameType.ready) {
      const label = parseLabel<ReadyLabel>(frame.label, readyShape);
      if (label.version !== protocolVersion) {
        this.kill(`it speaks protocol version ${label.version}`);
        return;
      }
      this.engine = label.engine;
      this.#onReady();
      return;
    }
    this.#options.onFrame(this, frame);
  };

  /** Its last words travel on another pipe and may come a moment later. */
  #endSoon(reason: string): void {
    this.leaving = true;
    setTimeout(() => this.kill(reason), 20);
  }

  #end(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    if (this.endReason === "") this.endReason = reason;
    this.#writer.close();
    this.#child.stdio[3]?.destroy();
    this.#onNeverReady();
    this.#options.onEnd(this);
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  let text = "";
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => {
    const lines = (text + chunk.toString("utf8")).slice(-8192).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      try {
        onLine(line);
      } catch {
        // Not one of ours.
      }
    }
  });
}
