/** Exponential backoff with full jitter; the one formula used by deliveries, runner restarts and reconnects. */

export interface BackoffOptions {
  /** Delay of the first retry in milliseconds. @default 1000 */
  baseMs?: number;
  /** Upper bound in milliseconds. @default 300000 */
  capMs?: number;
  /** Source of randomness in [0, 1). @default Math.random */
  random?: () => number;
}

/** Milliseconds to wait before attempt `attempt + 1`, where `attempt` ≥ 1 counts the failures so far. Between half and all of the exponential step. */
export function backoffMs(attempt: number, options: BackoffOptions = {}): number {
  const { baseMs = 1000, capMs = 300_000, random = Math.random } = options;
  const step = Math.min(capMs, baseMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30));
  return Math.round(step / 2 + (step / 2) * random());
}
