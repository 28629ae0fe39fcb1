/** What a dialect reader is: it turns another system's manifest into the canonical shape and says where each field came from. */
import type { Fault, Segment } from "../path.ts";

export type DialectName = "canonical" | "made-open" | "made-open-sdk" | "mlebotics" | "vivified";

export interface DialectReading {
  /** In canonical shape, not validated yet. */
  manifest: Record<string, unknown>;
  /** Where a canonical path (and all below it) stands in the source; the longest match counts. */
  origins: [canonical: readonly Segment[], source: readonly Segment[]][];
  /** Faults of the dialect's own shape, with paths of the source. */
  faults: Fault[];
}

export interface Dialect {
  readonly name: DialectName;
  recognises(raw: Record<string, unknown>): boolean;
  read(raw: Record<string, unknown>): DialectReading;
}
