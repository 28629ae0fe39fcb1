/** Token buckets by key, in memory of one node: `take` answers 0 when a token was there, else the seconds until one is. */

export interface TokenBucketOptions {
  /** Tokens added per second. */
  perSecond: number;
  /** Tokens a full bucket holds. */
  burst: number;
  now?: () => number;
}

/** Full buckets carry no information, so the map is swept when it grows past this. */
const sweepAt = 10_000;

export class TokenBuckets {
  readonly #options: Required<TokenBucketOptions>;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(options: TokenBucketOptions) {
    this.#options = { now: () => performance.now(), ...options };
  }

  /** 0, or whole seconds (≥ 1) to wait. */
  take(key: string): number {
    const { perSecond, burst, now } = this.#options;
    const at = now();
    let bucket = this.#buckets.get(key);
    if (!bucket) {
      if (this.#buckets.size >= sweepAt) this.#sweep(at);
      bucket = { tokens: burst, at };
      this.#buckets.set(key, bucket);
    }
    bucket.tokens = Math.min(burst, bucket.tokens + ((at - bucket.at) / 1000) * perSecond);
    bucket.at = at;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond));
  }

  #sweep(at: number): void {
    const { perSecond, burst } = this.#options;
    for (const [key, bucket] of this.#buckets) {
      if (bucket.tokens + ((at - bucket.at) / 1000) * perSecond >= burst) this.#buckets.delete(key);
    }
  }
}
