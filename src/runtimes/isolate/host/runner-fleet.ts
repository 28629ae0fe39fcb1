/**
 * The runners of a hub: one or a few for each isolation group, one warm in reserve. Starts, finds, evicts and ends them;
 * what runs inside is the runtime's business.
 */
import { backoffMs } from "../../../base/backoff.ts";
import { sleep } from "../../../base/deferred.ts";
import type { Frame } from "../bridge/frame.ts";
import type { HelloLabel } from "../bridge/labels.ts";
import type { GuestPrelude } from "./build-guest.ts";
import type { RunnerCommand } from "./runner-command.ts";
import { RunnerLink } from "./runner-link.ts";

export interface RunnerFleetOptions {
  command: Promise<RunnerCommand>;
  prelude: Promise<GuestPrelude>;
  hello: HelloLabel;
  maxRunners: number;
  runnersPerGroup: number;
  /** Keep one runner warm for whoever needs it next. */
  standby: boolean;
  idleRunnerMs: number;
  onFrame(link: RunnerLink, frame: Frame): void;
  /** The runner is gone. */
  onLost(link: RunnerLink): void;
  /** Calls under way on it. */
  load(link: RunnerLink): number;
  log(message: string, details: Record<string, unknown>): void;
}

export interface Placement {
  group: string;
  quarantine: boolean;
}

/** Losses within this time count together against the restart budget. */
const lossWindowMs = 60_000;
const freeLosses = 3;
/** Who needs a runner while all have work waits so long. */
const roomWithinMs = 2000;

export class RunnerFleet {
  readonly #options: RunnerFleetOptions;
  readonly #links = new Set<RunnerLink>();
  readonly #losses = new Map<string, { count: number; last: number }>();
  /** Runners on their way into a group, so that calls at once do not start several. */
  readonly #coming = new Map<string, Promise<RunnerLink>>();
  #failures = 0;
  #lastNumber = 0;
  #closed = false;
  started = 0;
  lost = 0;

  constructor(options: RunnerFleetOptions) {
    this.#options = options;
    if (options.standby) this.#keepStandby();
  }

  get links(): ReadonlySet<RunnerLink> {
    return this.#links;
  }

  /** A ready runner for this group. Rejects with an Error that says why there is none. */
  async acquire(placement: Placement): Promise<RunnerLink> {
    const found = this.#find(placement);
    if (found !== undefined) return found;
    let coming = this.#coming.get(placement.group);
    if (coming === undefined) {
      coming = this.#bring(placement).finally(() => this.#coming.delete(placement.group));
      this.#coming.set(placement.group, coming);
    }
    const link = await coming;
    if (link.group !== placement.group) throw new Error("a runner changed its group");
    if (link.ended || link.leaving) throw new Error("the runner was lost while it started");
    return link;
  }

  /** A runner of the group that takes work, without waiting. */
  #find({ group }: Placement): RunnerLink | undefined {
    let best: RunnerLink | undefined;
    let count = 0;
    for (const link of this.#links) {
      if (link.group !== group || link.leaving || !link.isReady) continue;
      count += 1;
      if (best === undefined || this.#instancesOf(link) < this.#instancesOf(best)) best = link;
    }
    return count > 0 && (count >= this.#options.runnersPerGroup || this.#instancesOf(best!) === 0) ? best : undefined;
  }

  #instancesOf(link: RunnerLink): number {
    return link.placements.size;
  }

  async #bring({ group, quarantine }: Placement): Promise<RunnerLink> {
    const loss = this.#losses.get(group);
    if (loss !== undefined && performance.now() - loss.last < lossWindowMs && loss.count > freeLosses) {
      await sleep(backoffMs(loss.count - freeLosses, { baseMs: 200, capMs: 30_000 }));
    }
    for (let attempt = 0; ; attempt++) {
      if (this.#closed) throw new Error("the hub is shutting down");
      const command = await this.#options.command;
      const until = performance.now() + roomWithinMs;
      while (!this.#makeRoom()) {
        if (performance.now() > until) throw new Error("all runners are busy");
        await sleep(20);
        if (this.#closed) throw new Error("the hub is shutting down");
      }
      // From the room to the group nothing is awaited: no runner may belong to two groups, none may be one too many.
      const link = this.#takeStandby() ?? this.#start(command);
      link.group = group;
      link.role = quarantine ? "quarantine" : "working";
      link.lastUsed = performance.now();
      this.#keepStandby();
      try {
        await link.ready;
        this.#failures = 0;
        return link;
      } catch (error) {
        this.#failures += 1;
        this.#options.log("a runner did not start", { reason: link.endReason, stderr: link.lastError });
        if (attempt >= 2) throw error;
        await sleep(backoffMs(this.#failures, { baseMs: 100, capMs: 30_000 }));
      }
    }
  }

  #takeStandby(): RunnerLink | undefined {
    let best: RunnerLink | undefined;
    for (const link of this.#links) {
      if (link.role !== "standby" || link.group !== null || link.leaving || link.ended) continue;
      if (best === undefined || (link.isReady && !best.isReady)) best = link;
    }
    return best;
  }

  /** True when one more runner may work, if need be because another was ended for it. */
  #makeRoom(): boolean {
    while (this.#working() >= this.#options.maxRunners) if (!this.#evictOne()) return false;
    return true;
  }

  #working(): number {
    let count = 0;
    for (const link of this.#links) if (link.group !== null) count += 1;
    return count;
  }

  /** Ends the runner that was idle longest. False when all have calls. */
  #evictOne(): boolean {
    let oldest: RunnerLink | undefined;
    for (const link of this.#links) {
      if (link.group === null || link.leaving || !link.isReady || this.#options.load(link) > 0) continue;
      if (oldest === undefined || link.lastUsed < oldest.lastUsed) oldest = link;
    }
    if (oldest === undefined) return false;
    this.retire(oldest, "another group needs a runner");
    return true;
  }

  #start(command: RunnerCommand): RunnerLink {
    this.#lastNumber += 1;
    this.started += 1;
    const link = new RunnerLink({
      id: `runner-${this.#lastNumber}`,
      command,
      prelude: this.#options.prelude,
      hello: this.#options.hello,
      onFrame: this.#options.onFrame,
      onEnd: (ended) => this.#onEnd(ended),
    });
    if (!link.ended) this.#links.add(link);
    return link;
  }

  #keepStandby(): void {
    if (!this.#options.standby || this.#closed || this.#takeStandby() !== undefined) return;
    const delay = this.#failures === 0 ? 0 : backoffMs(this.#failures, { baseMs: 200, capMs: 30_000 });
    setTimeout(async () => {
      const command = await this.#options.command;
      if (!this.#closed && this.#takeStandby() === undefined) {
        this.#start(command).ready.then(
          () => {
            this.#failures = 0;
          },
          () => {
            this.#failures += 1;
            this.#keepStandby();
          },
        );
      }
    }, delay).unref();
  }

  #onEnd(link: RunnerLink): void {
    this.#links.delete(link);
    if (!link.retired && link.group !== null) {
      this.lost += 1;
      const now = performance.now();
      const loss = this.#losses.get(link.group);
      const recent = loss !== undefined && now - loss.last < lossWindowMs;
      this.#losses.set(link.group, { count: recent ? loss.count + 1 : 1, last: now });
      const { id: runner, group, endReason: reason, lastError: stderr } = link;
      this.#options.log("a runner was lost", { runner, group, reason, ...(stderr === "" ? {} : { stderr }) });
    }
    if (this.#losses.size > 10_000) this.#losses.clear();
    this.#options.onLost(link);
    if (!this.#closed && link.role === "standby") this.#keepStandby();
  }

  /** Ends a runner nobody needs. */
  retire(link: RunnerLink, reason: string): void {
    link.retired = true;
    link.leaving = true;
    link.kill(reason);
  }

  /** Ends runners without calls and instances in use for a while. */
  evictIdle(now: number): void {
    for (const link of this.#links) {
      if (link.group === null || link.leaving || !link.isReady) continue;
      if (now - link.lastUsed > this.#options.idleRunnerMs && this.#options.load(link) === 0) {
        this.retire(link, "it was idle");
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const link of [...this.#links]) this.retire(link, "the hub is shutting down");
  }
}
