/**
 * Name resolution for egress: both families, every answer, short cache. Speaks DNS itself (c-ares) instead of getaddrinfo,
 * because that runs on libuv's four threads, which a plugin asking for slow names could occupy for everyone.
 */
import { Resolver } from "node:dns/promises";

/** All addresses of a host; rejects or answers empty when it has none. */
export type ResolveHost = (host: string) => Promise<string[]>;

export interface ResolverOptions {
  /** How long an answer is used, ms. @default 10000 */
  ttlMs?: number;
  /** Names held. @default 2000 */
  maxEntries?: number;
  now?: () => number;
}

/** Asks the machine's name servers. */
export function createDnsResolver(): ResolveHost {
  const dns = new Resolver({ timeout: 2_000, tries: 2 });
  return async (host) => {
    const [v4, v6] = await Promise.allSettled([dns.resolve4(host), dns.resolve6(host)]);
    // IPv4 first: a machine without an IPv6 route would fail on the first attempt otherwise.
    const addresses = [v4, v6].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (addresses.length === 0 && v4.status === "rejected") throw v4.reason;
    return addresses;
  };
}

/** Remembers answers for a short time and asks once for names wanted at the same time. Failures are not kept. */
export function cacheResolver(resolve: ResolveHost, options: ResolverOptions = {}): ResolveHost {
  const { ttlMs = 10_000, maxEntries = 2_000, now = Date.now } = options;
  const entries = new Map<string, { until: number; addresses: Promise<string[]> }>();
  return (host) => {
    const known = entries.get(host);
    if (known && known.until > now()) return known.addresses;
    const entry = { until: now() + ttlMs, addresses: resolve(host) };
    entries.delete(host);
    entries.set(host, entry);
    if (entries.size > maxEntries) entries.delete(entries.keys().next().value!);
    entry.addresses.catch(() => {
      if (entries.get(host) === entry) entries.delete(host);
    });
    return entry.addresses;
  };
}
