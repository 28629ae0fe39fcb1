/** What a benchmark is: a module `<name>.bench.ts` that fills rows of the table in goals.ts. */
import type { GoalId } from "./goals.ts";

export interface BenchContext {
  /** How often the contenders take turns. */
  rounds: number;
  /** A rough look: shorter rounds, smaller sizes. */
  quick: boolean;
  /** A line on stderr, for whoever waits. */
  log(line: string): void;
}

/** One row as measured. */
export interface Measured {
  goal: GoalId;
  /** What the goal is about, in the goal's unit: a ratio, milliseconds, a count. Missing when it could not be measured. */
  value?: number;
  /** The cell of the table. @default the value with the goal's unit */
  text?: string;
  /** One value a round, or the spread the value came from. */
  samples?: number[];
  /** Numbers behind the value, by name. */
  parts?: Record<string, number>;
  /** Why there is no value, or what one should know about it. */
  note?: string;
}

export interface Benchmark {
  name: string;
  goals: readonly GoalId[];
  run(context: BenchContext): Promise<Measured[]>;
}
