/**
 * Health of active plugins, from three sources: the outcomes of the latest calls, the plugin's own `health` handler, if it has
 * one, and what stands against it in the hub, such as a connection that must be made again. The worst of them is written,
 * with its reason, when it changes; hysteresis keeps it from flapping.
 */
import type { Health, Installation } from "../installations/installations.ts";

export interface HealthReading {
  health: Health;
  reason: string | null;
}

export interface HealthOptions {
  write(installation: Installation, reading: HealthReading): Promise<void>;
  /** What the hub itself knows against the plugin. @default nothing */
  standing?(installation: Installation): HealthReading | undefined;
  /** Outcomes remembered per installation. @default 20 */
  window?: number;
}

export interface HealthMonitor {
  /** Faults of the plugin count; a caller's own (bad input, cancelled) do not reach here. */
  observe(installation: Installation, outcome: { ok: true } | { ok: false; code: string; message: string }): void;
  /** The answer of the plugin's own health handler. */
  report(installation: Installation, reading: HealthReading): void;
  /** What stands against it may have changed. */
  review(installation: Installation): void;
  forget(installation: Pick<Installation, "organization" | "plugin">): void;
  read(installation: Installation): HealthReading;
}

interface Observed {
  id: string;
  outcomes: boolean[];
  lastFailure: string | null;
  own: HealthReading | null;
  written: HealthReading;
}

const rank: Record<Health, number> = { unknown: 0, healthy: 1, degraded: 2, unhealthy: 3 };
/** Shares of failed calls. Leaving a state needs a clearly better share than entering it. */
const thresholds = { degraded: { enter: 0.1, leave: 0.05 }, unhealthy: { enter: 0.5, leave: 0.3 } } as const;
const minOutcomes = 3;

export function createHealthMonitor({ write, standing, window = 20 }: HealthOptions): HealthMonitor {
  const observed = new Map<string, Observed>();
  const slotOf = (installation: Pick<Installation, "organization" | "plugin">): string =>
    `${installation.organization}\0${installation.plugin}`;

  const entryOf = (installation: Installation): Observed => {
    const slot = slotOf(installation);
    let entry = observed.get(slot);
    if (!entry || entry.id !== installation.id) {
      entry = {
        id: installation.id,
        outcomes: [],
        lastFailure: null,
        own: null,
        written: { health: installation.health, reason: installation.healthReason },
      };
      observed.set(slot, entry);
    }
    return entry;
  };

  const settle = (installation: Installation, entry: Observed): void => {
    const nothing: HealthReading = { health: "unknown", reason: null };
    const against = standing?.(installation) ?? nothing;
    // Of two that are equally bad, the one that says what to do.
    const reading = worse(against, worse(fromOutcomes(entry), entry.own ?? nothing));
    const stands = reading === against && against !== nothing;
    if (reading.health === entry.written.health && !(stands && reading.reason !== entry.written.reason)) return;
    entry.written = reading;
    write(installation, reading).catch(() => {
      // Not written: the next observation tries again.
      entry.written = { health: installation.health, reason: installation.healthReason };
    });
  };

  return {
    observe(installation, outcome) {
      const entry = entryOf(installation);
      entry.outcomes.push(outcome.ok);
      if (entry.outcomes.length > window) entry.outcomes.shift();
      if (!outcome.ok) entry.lastFailure = `${outcome.code}: ${outcome.message}`.slice(0, 500);
      settle(installation, entry);
    },
    report(installation, reading) {
      const entry = entryOf(installation);
      entry.own = reading;
      settle(installation, entry);
    },
    review: (installation) => settle(installation, entryOf(installation)),
    forget: (installation) => void observed.delete(slotOf(installation)),
    read: (installation) => entryOf(installation).written,
  };
}

function fromOutcomes(entry: Observed): HealthReading {
  const { outcomes, written } = entry;
  if (outcomes.length === 0) return { health: "unknown", reason: null };
  const failed = outcomes.filter((ok) => !ok).length;
  if (failed === 0) return { health: "healthy", reason: null };
  if (outcomes.length < minOutcomes)
    return {
      health: failed === outcomes.length ? "degraded" : "healthy",
      reason: failed > 0 ? entry.lastFailure : null,
    };
  const share = failed / outcomes.length;
  const limit = (state: "degraded" | "unhealthy"): number =>
    rank[written.health] >= rank[state] ? thresholds[state].leave : thresholds[state].enter;
  const reason = `${failed} of the last ${outcomes.length} calls failed; last: ${entry.lastFailure}`;
  if (share >= limit("unhealthy")) return { health: "unhealthy", reason };
  if (share >= limit("degraded")) return { health: "degraded", reason };
  return { health: "healthy", reason: null };
}

const worse = (a: HealthReading, b: HealthReading): HealthReading => (rank[b.health] > rank[a.health] ? b : a);
