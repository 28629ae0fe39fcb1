/** What bundled plugins would offer to rules, by id, for messages about operators that nobody offers here. Read once: they are published when a hub starts. */
import { bundledOrganization, type Packages } from "../packages/packages.ts";
import { offersOf } from "./operator-holders.ts";

/** Ids of operators and variables, with the plugin that has them. */
export type BundledOffers = () => Promise<ReadonlyMap<string, string>>;

/** Never rejects: a message without its hint is better than no message. */
export function createBundledOffers({ packages }: { packages: Pick<Packages, "list" | "get"> }): BundledOffers {
  let known: Promise<Map<string, string>> | undefined;
  const read = async (): Promise<Map<string, string>> => {
    const offers = new Map<string, string>();
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await packages.list(bundledOrganization, { limit: 100, ...(cursor ? { cursor } : {}) });
      for (const { id } of page.packages)
        for (const offer of offersOf((await packages.get(bundledOrganization, id)).manifest))
          offers.set(offer.slice(offer.indexOf(" ") + 1), id);
      cursor = page.nextCursor;
    }
    return offers;
  };
  return async () => {
    known ??= read();
    const reading = known;
    const offers = await reading.catch(() => new Map<string, string>());
    // None yet, or not readable: asked again the next time.
    if (offers.size === 0 && known === reading) known = undefined;
    return offers;
  };
}
