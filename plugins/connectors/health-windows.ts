/**
 * How the connectors of health data read: kind by kind, in windows of days from a first day until now. A service that
 * lists only by time of measurement does not tell what came late, so the last days before the cursor are read again each
 * time. A kind that is behind stores how far it is after each window, with an item of no entities where there was nothing; one that is up to date only when the run is
 * complete, so that a run that is cut into calls does not read the last days over and over.
 */
import type { RawItem, SyncOptions } from "@backplane/plugin-api";

export interface Window {
  /** RFC 3339 UTC, inclusive; the first moment of a day. */
  from: string;
  /** Exclusive; the first moment of a day but for the last window, which ends now. */
  to: string;
}

export interface WindowedSync {
  kinds: readonly string[];
  options: SyncOptions;
  /** `YYYY-MM-DD`: nothing before it is read. */
  startDate: string;
  /** Days of one window, by kind. */
  windowDays(kind: string): number;
  read(kind: string, window: Window): AsyncIterable<RawItem>;
  /** ms since the epoch. @default the clock */
  now?: number;
}

interface Cursor {
  /** All that was measured before, and known to the service then, is stored. */
  upTo: string;
}

/** Watches and phones send what they measured days ago. */
const lateDays = 3;
const day = 86_400_000;

export async function* syncWindows({
  kinds,
  options,
  startDate,
  windowDays,
  read,
  now = Date.now(),
}: WindowedSync): AsyncGenerator<RawItem, { cursors: Record<string, Cursor> }> {
  const start = Math.min(Date.parse(`${startDate}T00:00:00Z`), now);
  const wanted = kinds.filter((kind) => options.types === undefined || options.types.includes(kind));
  const behind = new Map(wanted.map((kind) => [kind, readUpTo(options.cursors?.[kind], start, now)] as const));
  const cursors: Record<string, Cursor> = {};
  // Those that are furthest behind come first; the sort is stable.
  for (const [kind, upTo] of [...behind].sort((a, b) => a[1] - b[1])) {
    const isBehind = now - upTo > lateDays * day;
    for (const window of windows(Math.max(start, upTo - lateDays * day), now, windowDays(kind))) {
      let held: RawItem | undefined;
      try {
        for await (const item of read(kind, window)) {
          if (held) yield held;
          held = item;
        }
      } catch (error) {
        if (held) yield held;
        throw error;
      }
      const isNews = isBehind && Date.parse(window.to) > upTo;
      // Years without anything count too: a service that answers only so often must not be asked for them again.
      held ??= isNews ? { id: `nothing before ${window.to}`, type: kind, data: null } : undefined;
      if (held) yield isNews ? { ...held, cursor: { upTo: window.to } satisfies Cursor } : held;
    }
    cursors[kind] = { upTo: new Date(now).toISOString() };
  }
  return { cursors };
}

function* windows(from: number, to: number, days: number): Generator<Window> {
  for (let at = Math.floor(from / day) * day; at < to; at += days * day)
    yield { from: new Date(at).toISOString(), to: new Date(Math.min(at + days * day, to)).toISOString() };
}

function readUpTo(cursor: unknown, start: number, now: number): number {
  const upTo = typeof cursor === "object" && cursor !== null ? (cursor as Partial<Cursor>).upTo : undefined;
  const time = typeof upTo === "string" ? Date.parse(upTo) : Number.NaN;
  return Number.isNaN(time) ? start : Math.min(Math.max(time, start), now);
}
