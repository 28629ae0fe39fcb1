/** Load: so many calls in flight for so long, or one after another with their times. */

export interface Driven {
  perSecond: number;
  calls: number;
  ms: number;
}

/** `call` gets a running number. The first `warmupMs` do not count. */
export async function drive(
  call: (n: number) => Promise<unknown>,
  options: { inFlight: number; ms: number; warmupMs?: number },
): Promise<Driven> {
  const from = performance.now() + (options.warmupMs ?? options.ms / 5);
  const until = from + options.ms;
  let started = 0;
  let counted = 0;
  let last = from;
  const lane = async (): Promise<void> => {
    for (;;) {
      await call(started++);
      const now = performance.now();
      if (now >= until) return;
      if (now < from) continue;
      counted += 1;
      last = now;
    }
  };
  await Promise.all(Array.from({ length: options.inFlight }, lane));
  const ms = Math.max(1, last - from);
  return { perSecond: (counted / ms) * 1000, calls: counted, ms };
}

/** Milliseconds of each of `count` calls, one at a time. */
export async function times(count: number, call: (n: number) => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (let n = 0; n < count; n++) {
    const from = performance.now();
    await call(n);
    samples.push(performance.now() - from);
  }
  return samples;
}

/** Calls begun every `everyMs` whether or not earlier ones have ended, until `done`; ms from when each was due. */
export async function steadily(
  everyMs: number,
  call: () => Promise<unknown>,
  done: () => boolean,
): Promise<{ samples: number[]; failures: number }> {
  const samples: number[] = [];
  let failures = 0;
  const open = new Set<Promise<void>>();
  for (let due = performance.now(); !done(); due += everyMs) {
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const dueAt = due;
    const one = call()
      .catch(() => {
        failures += 1;
      })
      .then(() => {
        samples.push(performance.now() - dueAt);
        open.delete(one);
      });
    open.add(one);
  }
  await Promise.all(open);
  return { samples, failures };
}
