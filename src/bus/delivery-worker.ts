/**
 * Claims work for this node and runs it: fair between organisations and consumers, in order within a key, bounded in
 * everything it holds. With a relay the claims are handed to JetStream instead, and what JetStream brings is admitted here;
 * while JetStream is away the worker serves itself, so both drivers share every rule below.
 *
 * An item is claimed (in the database) → queued in a run (here) → running → settling → gone. At each step a lapsed lease
 * or a cancellation ends it without a settlement, and the database gives it to whoever claims next.
 */
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/deferred.ts";
import type { Store } from "../store/store.ts";
import type { BusLog } from "./bus-log.ts";
import type { ConsumerKey } from "./consumers.ts";
import { type DeliveryRunner, HubStops } from "./delivery-runner.ts";
import {
  type Claim,
  type ClaimAnswer,
  type ClaimedRow,
  claimDeliveries,
  extendLeases,
  findConsumers,
} from "./delivery-sql.ts";
import { FairRing } from "./fair-ring.ts";
import { type Item, Lane, type Run } from "./lane.ts";
import { createSettler } from "./settler.ts";
import { deliveriesChannel, parseWake } from "./wake.ts";

export interface WorkerLimits {
  /** Handlers running at once on this node. @default 256 */
  slots: number;
  /** Of these, at most for one organisation. @default 64 */
  slotsPerOrganization: number;
  /** Of these, at most for one consumer, unless its handler was registered with another number. @default 16 */
  slotsPerConsumer: number;
  /** Claimed and unsettled items on this node. @default 4000 */
  held: number;
  /** How long a claim lasts without a heartbeat. @default 30000 */
  leaseMs: number;
  /** How often the worker looks for work nobody told it of. @default 1000 */
  pollMs: number;
  /** How long `stop` waits for running handlers before it aborts them. @default 10000 */
  graceMs: number;
}

/** Hands claimed rows to other nodes. */
export interface Relay {
  readonly connected: boolean;
  /** The name rows are claimed under before a worker takes them. */
  readonly claimName: () => string;
  publish(claimName: string, answers: readonly ClaimAnswer[]): Promise<void>;
}

export interface WorkerOptions {
  store: Store;
  nodeId: string;
  log: BusLog;
  limits: WorkerLimits;
  runner: DeliveryRunner;
  relay?: Relay | undefined;
}

const lanesPerClaim = 64;
const itemsPerClaim = 800;

export class DeliveryWorker {
  readonly #o: WorkerOptions;
  readonly #limits: WorkerLimits;
  readonly #lanes = new Map<string, Lane>();
  readonly #claimable = new FairRing<Lane>();
  readonly #runnable = new FairRing<Lane>();
  readonly #items = new Map<number, Item>();
  readonly #runningByOrganization = new Map<string, number>();
  readonly #settler;
  readonly #stopping = new AbortController();
  #running = 0;
  #ended = false;
  #wake = new AbortController();
  #roomWaiters: (() => void)[] = [];
  #loops: Promise<unknown>[] = [];
  #subscription: Disposable | undefined;

  constructor(options: WorkerOptions) {
    this.#o = options;
    this.#limits = options.limits;
    this.#settler = createSettler({
      store: options.store,
      owner: options.nodeId,
      log: options.log,
      giveUpMs: options.limits.leaseMs,
      onSettled: (settlements, held) => {
        for (const { id, outcome } of settlements) this.#forget(id, held.has(id) && outcome !== "release");
        if (this.#claimable.size > 0) this.#wake.abort();
      },
    });
  }

  async start(): Promise<void> {
    this.#subscription = await this.#o.store.listen(deliveriesChannel, (payload) => {
      const consumers = parseWake(payload);
      if (consumers) for (const consumer of consumers) this.#want(this.#lane(consumer));
      else void this.#discover();
    });
    this.#loops = [this.#claimLoop(), this.#pollLoop(), this.#heartbeatLoop()];
  }

  /** Finishes what runs, gives back what only waited, settles all. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
    this.#subscription?.[Symbol.dispose]();
    for (const lane of this.#lanes.values()) {
      clearTimeout(lane.timer);
      this.#runnable.delete(lane);
      for (const run of lane.runs.splice(0)) this.#release(run.items);
    }
    const deadline = performance.now() + this.#limits.graceMs;
    while (this.#running > 0 && performance.now() < deadline) await sleep(10);
    for (const item of this.#items.values()) if (item.running) item.abort.abort(new HubStops("the hub stops"));
    for (let waited = 0; this.#running > 0 && waited < 1000; waited += 10) await sleep(10);
    // A handler that ignores its signal keeps its claim until the lease lapses: releasing it would let the key go on beside it.
    this.#ended = true;
    await Promise.all(this.#loops);
    await this.#settler.flush();
  }

  /** Items held now; what a relay's consumer may still bring is `room`. */
  get room(): number {
    return this.#stopping.signal.aborted ? 0 : Math.max(0, this.#limits.held - this.#items.size);
  }

  /** Resolves when there is room for `items` more, or when the worker stops. */
  async waitForRoom(items: number): Promise<void> {
    while (this.room < items && !this.#stopping.signal.aborted)
      await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
  }

  /** Takes claimed rows in; `claimedAt` is the local clock before the claim was made. */
  admit(rows: readonly ClaimedRow[], claimedAt: number): void {
    const byLane = new Map<Lane, Item[]>();
    for (const row of rows) {
      const lane = this.#lane(row, row.kind);
      const item: Item = {
        ...row,
        leaseUntil: claimedAt + this.#limits.leaseMs,
        abort: new AbortController(),
        running: false,
      };
      const lost = this.#items.get(row.id);
      if (lost) {
        lost.abort.abort(new Error("the lease was lost"));
        lane.held -= 1;
      }
      this.#items.set(row.id, item);
      const items = byLane.get(lane);
      if (items) items.push(item);
      else byLane.set(lane, [item]);
    }
    for (const [lane, items] of byLane) {
      lane.admit(items);
      if (this.#stopping.signal.aborted) for (const run of lane.runs.splice(0)) this.#release(run.items);
      else this.#ready(lane);
    }
    this.#serve();
  }

  /** Stops a running item whose row was cancelled; its handler sees the signal. */
  abort(id: number): void {
    this.#items.get(id)?.abort.abort(new Error("the delivery was cancelled"));
  }

  #lane({ organization, consumer }: ConsumerKey, kind?: ClaimedRow["kind"]): Lane {
    const name = `${organization}\n${consumer}`;
    let lane = this.#lanes.get(name);
    if (!lane) {
      const concurrency = this.#o.runner.concurrency(consumer, kind) ?? this.#limits.slotsPerConsumer;
      lane = new Lane(organization, consumer, concurrency);
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #want(lane: Lane): void {
    if (this.#stopping.signal.aborted) return;
    this.#claimable.add(lane);
    this.#wake.abort();
  }

  #wantLater(lane: Lane, ms: number): void {
    const at = performance.now() + ms;
    if (at >= lane.timerAt || this.#stopping.signal.aborted) return;
    clearTimeout(lane.timer);
    lane.timerAt = at;
    lane.timer = setTimeout(() => {
      lane.timer = undefined;
      lane.timerAt = Number.POSITIVE_INFINITY;
      this.#want(lane);
    }, ms + 1);
  }

  // ── claiming ──

  async #claimLoop(): Promise<void> {
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController();
      try {
        const claimed = await this.#claimOnce();
        failures = 0;
        if (!claimed) await sleep(this.#limits.pollMs, this.#wake.signal);
      } catch (error) {
        failures += 1;
        this.#o.log.error({ err: error, failures }, "deliveries could not be claimed; trying again");
        await sleep(backoffMs(failures, { baseMs: 100, capMs: 5000 }), this.#stopping.signal);
      }
    }
  }

  /** One claim for the lanes whose turn it is; false when no lane can take anything now. */
  async #claimOnce(): Promise<boolean> {
    const relay = this.#o.relay?.connected ? this.#o.relay : undefined;
    const turns = this.#takeTurns(relay !== undefined);
    if (turns.length === 0) return false;
    const owner = relay ? relay.claimName() : this.#o.nodeId;
    const window = Math.max(100, ...turns.map(({ claim }) => claim.cap * 3));
    const base = {
      kinds: this.#o.runner.kinds(),
      owner,
      leaseMs: this.#limits.leaseMs,
      relayed: relay !== undefined,
      window,
    };
    const claimedAt = performance.now();
    for (const { lane } of turns) lane.claiming = true;
    try {
      const answers = await claimDeliveries(this.#o.store, { ...base, claims: turns.map(({ claim }) => claim) });
      const byName = new Map(answers.map((answer) => [`${answer.organization}\n${answer.consumer}`, answer]));
      for (const { lane, claim } of turns) {
        const answer = byName.get(`${lane.organization}\n${lane.consumer}`);
        if (answer?.cut && answer.rows.length + (relay ? answer.held : 0) < claim.cap / 2)
          answers.push(await this.#claimByKeys(lane, claim, base));
        lane.leftover = relay === undefined && answer?.more === true;
        if (answer && answer.rows.length > 0 && answer.more) this.#claimable.add(lane);
      }
      const rows = answers.flatMap((answer) => answer.rows);
      if (relay) await relay.publish(owner, answers);
      else this.admit(rows, claimedAt);
      return true;
    } catch (error) {
      for (const { lane } of turns) this.#claimable.add(lane);
      throw error;
    } finally {
      for (const { lane } of turns) lane.claiming = false;
    }
  }

  async #claimByKeys(
    lane: Lane,
    claim: Claim,
    base: Omit<Parameters<typeof claimDeliveries>[1], "claims">,
  ): Promise<ClaimAnswer> {
    const answers = await claimDeliveries(this.#o.store, { ...base, claims: [claim], afterKey: lane.afterKey });
    const answer = answers[0] ?? {
      organization: lane.organization,
      consumer: lane.consumer,
      rows: [],
      more: false,
      held: 0,
      cut: false,
      lastKey: undefined,
    };
    if (answer.cut) this.#wantLater(lane, answer.rows.length > 0 ? 0 : 50);
    lane.afterKey = answer.cut ? (answer.lastKey ?? "") : "";
    return answer;
  }

  #takeTurns(relayed: boolean): { lane: Lane; claim: Claim }[] {
    const turns: { lane: Lane; claim: Claim }[] = [];
    const waiting: Lane[] = [];
    const room = relayed ? itemsPerClaim : Math.min(itemsPerClaim, this.room);
    const share = Math.max(8, Math.floor(room / Math.min(lanesPerClaim, this.#claimable.size || 1)));
    let left = room;
    while (turns.length < lanesPerClaim && left > 0) {
      const lane = this.#claimable.take();
      if (!lane) break;
      const held = relayed ? 0 : lane.held;
      // Claim again only when half is used up, so that a claim is worth its statement. Items that run do not count while
      // slots are free: long ones must not keep what waits behind them from the slots beside them.
      const ahead = relayed || lane.running >= lane.concurrency ? held : held - lane.running;
      if (ahead > lane.appetite / 2) {
        waiting.push(lane);
        continue;
      }
      const cap = Math.max(1, Math.min(left, share, lane.appetite - held));
      left -= cap;
      turns.push({
        lane,
        claim: { organization: lane.organization, consumer: lane.consumer, cap, run: lane.runLength },
      });
    }
    for (const lane of waiting) lane.leftover = true;
    return turns;
  }

  async #pollLoop(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#discover();
      for (const [name, lane] of this.#lanes) if (lane.idle) this.#dropLane(name, lane);
      await sleep(this.#limits.pollMs * (0.75 + Math.random() / 2), this.#stopping.signal);
    }
  }

  #dropLane(name: string, lane: Lane): void {
    if (lane.leftover || lane.claiming) return;
    this.#lanes.delete(name);
    this.#claimable.delete(lane);
  }

  async #discover(): Promise<void> {
    try {
      for (const consumer of await findConsumers(this.#o.store.db)) this.#want(this.#lane(consumer));
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#o.log.warn({ err: error }, "could not look for deliveries");
    }
  }

  // ── running ──

  #ready(lane: Lane): void {
    if (lane.runnable) this.#runnable.add(lane);
  }

  /** Gives free slots to lanes in turn, one item a turn. */
  #serve(): void {
    const mayRun = (organization: string): boolean =>
      (this.#runningByOrganization.get(organization) ?? 0) < this.#limits.slotsPerOrganization;
    while (this.#running < this.#limits.slots) {
      const lane = this.#runnable.take(mayRun);
      if (!lane) return;
      const run = lane.runs.shift();
      if (run) {
        this.#count(lane, 1);
        void this.#runHead(lane, run);
      }
      this.#ready(lane);
    }
  }

  #count(lane: Lane, by: 1 | -1): void {
    lane.running += by;
    this.#running += by;
    const running = (this.#runningByOrganization.get(lane.organization) ?? 0) + by;
    if (running === 0) this.#runningByOrganization.delete(lane.organization);
    else this.#runningByOrganization.set(lane.organization, running);
  }

  async #runHead(lane: Lane, run: Run): Promise<void> {
    const item = run.items.shift()!;
    if (item.abort.signal.aborted || performance.now() > item.leaseUntil) {
      this.#forget(item.id, false);
      this.#release(run.items);
    } else {
      item.running = true;
      const started = performance.now();
      const settlement = await this.#o.runner.run(item);
      lane.observe(performance.now() - started);
      item.running = false;
      if (settlement === undefined || this.#items.get(item.id) !== item) {
        if (this.#items.get(item.id) === item) this.#forget(item.id, false);
        this.#release(run.items);
      } else {
        this.#settler.push([settlement]);
        if (settlement.outcome === "retry") this.#wantLater(lane, settlement.ms ?? 0);
        const goesOn = settlement.outcome === "done" || settlement.outcome === "drop" || settlement.outcome === "dead";
        // What failed is tried again before its followers: give them back, the database keeps the order.
        if (!goesOn || this.#stopping.signal.aborted) this.#release(run.items);
        else if (run.items.length > 0) lane.runs.push(run);
      }
    }
    this.#count(lane, -1);
    this.#ready(lane);
    this.#serve();
  }

  #release(items: readonly Item[]): void {
    if (items.length === 0) return;
    this.#settler.push(
      items.map(({ organization, id, attempts }) => ({ organization, id, attempts, outcome: "release" as const })),
    );
  }

  #forget(id: number, settled: boolean): void {
    const item = this.#items.get(id);
    if (!item) return;
    this.#items.delete(id);
    const lane = this.#lane(item, item.kind);
    lane.held -= 1;
    if (!settled) this.#wantLater(lane, 20);
    // Over a relay more may be waiting than this node knows; it asks when its own share is nearly used up.
    if (lane.leftover || (this.#o.relay?.connected && lane.held <= lane.appetite / 8)) this.#want(lane);
    if (this.room > 0) for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  // ── leases ──

  async #heartbeatLoop(): Promise<void> {
    const everyMs = this.#limits.leaseMs / 3;
    while (true) {
      await sleep(everyMs / 2, this.#stopping.signal);
      if (this.#stopping.signal.aborted) {
        if (this.#running === 0 || this.#ended) return;
        await sleep(Math.min(everyMs / 2, 50));
      }
      const now = performance.now();
      const due = [...this.#items.values()].filter((item) => item.leaseUntil - now < everyMs * 2);
      if (due.length > 0) await this.#extend(due, now);
    }
  }

  async #extend(items: readonly Item[], now: number): Promise<void> {
    try {
      const { leaseMs } = this.#limits;
      const held = await extendLeases(this.#o.store, { items, owner: this.#o.nodeId, leaseMs });
      for (const item of items) {
        if (held.has(item.id)) item.leaseUntil = now + leaseMs;
        else this.#lapse(item);
      }
    } catch (error) {
      this.#o.log.warn({ err: error, items: items.length }, "leases of deliveries could not be extended");
      for (const item of items) if (performance.now() > item.leaseUntil) this.#lapse(item);
    }
  }

  #lapse(item: Item): void {
    // It may just have been settled: then it is in no one's hands any more and there is nothing to stop.
    if (this.#items.get(item.id) === item) item.abort.abort(new Error("the lease was lost"));
  }
}
