/**
 * What strangers can make the hub store: webhooks are open to the internet, and a request is stored before the plugin can say
 * that its signature is wrong. A rate for each installation, and a cap on the requests that came to nothing.
 */
import { sql } from "kysely";
import { TokenBuckets } from "../base/token-bucket.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store } from "../store/store.ts";

export interface FloodGuardOptions {
  store: Store;
  /** Requests that one installation takes on one hub. @default 500 a second, 2000 at once */
  rate?: { perSecond: number; burst: number };
  /** Requests of one installation without an answer of 2xx or 3xx that are kept. @default 1000 */
  maxUnaccepted?: number;
}

export interface Owner {
  organization: string;
  plugin: string;
}

export interface FloodGuard {
  /** Error: `rate_limited`. */
  enter(owner: Owner): void;
  /** A request came to nothing; from time to time the oldest of such requests go. */
  unaccepted(owner: Owner): void;
}

export function createFloodGuard({
  store,
  rate = { perSecond: 500, burst: 2_000 },
  maxUnaccepted = 1_000,
}: FloodGuardOptions): FloodGuard {
  const buckets = new TokenBuckets(rate);
  /** Requests that came to nothing since the last sweep. */
  const counts = new Map<string, number>();
  const sweepEvery = Math.max(1, Math.floor(maxUnaccepted / 4));

  const sweep = ({ organization, plugin }: Owner): Promise<unknown> =>
    // Ids rise with time. One under way has no status yet and is among the newest.
    sql`delete from webhook_requests where organization_id = ${organization} and id in (
      select id from webhook_requests
      where organization_id = ${organization} and plugin_id = ${plugin} and (status is null or status >= 400)
      order by id desc offset ${maxUnaccepted})`.execute(store.db);

  return {
    enter({ organization, plugin }) {
      const retryAfter = buckets.take(`${organization}\0${plugin}`);
      if (retryAfter > 0) throw new BackplaneError("rate_limited", { retryAfter });
    },
    unaccepted(owner) {
      const key = `${owner.organization}\0${owner.plugin}`;
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count % sweepEvery);
      if (counts.size > 10_000) counts.clear();
      if (count >= sweepEvery) sweep(owner).catch(() => {});
    },
  };
}
