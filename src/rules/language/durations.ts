/** Durations as rules write them: `30s`, `5m`, `1h30m`, `7d`. */

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds; undefined when it is none. */
export function durationMs(text: string): number | undefined {
  if (!/^([0-9]{1,9}(ms|s|m|h|d))+$/.test(text.slice(0, 64))) return undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/g)) sum += Number(amount) * units[unit!]!;
  return sum;
}
