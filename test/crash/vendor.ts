/**
 * The vendor of flow runs: pages of items, and sends that it knows again by their idempotency key. Now and then, as the name of
 * the organisation says for each request, a send that took effect is answered with 500, a page late, or with 503 and a moment to wait.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export interface Effect {
  to: string;
  body: string;
}

/** What one organisation has asked for so far. */
export interface Asked {
  /** What took effect, by idempotency key. */
  effects: Map<string, Effect>;
  /** Requests with a key that had taken effect already. */
  repeats: number;
  /** Pages that were given, each counted once. */
  pages: Set<number>;
}

export interface Vendor extends AsyncDisposable {
  origin: string;
  of(organization: string): Asked;
}

export interface VendorOptions {
  /** Told of each request that brought something new. */
  onStep(organization: string): void;
}

export const itemCount = 40;
/** Of these, how many are told as deleted: every thirteenth. */
export const deletedCount = Math.floor(itemCount / 13);
const pageSize = 5;
/** Two slow pages end a batch, which waits for no more than two seconds: so a sync has several, and its cursor several stops. */
const slowMs = 1_100;
export const pageCount = itemCount / pageSize;

export async function startVendor({ onStep }: VendorOptions): Promise<Vendor> {
  const asked = new Map<string, Asked>();
  const times = new Map<string, number>();
  const of = (organization: string): Asked => {
    const found = asked.get(organization) ?? { effects: new Map(), repeats: 0, pages: new Set() };
    asked.set(organization, found);
    return found;
  };
  /** From 0 to 1, by the organisation's name, the request and how often it came: the order of requests does not matter. */
  const chance = (organization: string, request: string): number => {
    const name = JSON.stringify([organization, request]);
    const nth = (times.get(name) ?? 0) + 1;
    times.set(name, nth);
    return createHash("sha256").update(`${nth} ${name}`).digest().readUInt32BE() / 2 ** 32;
  };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", "https://vendor.test");
    const organization = url.searchParams.get("org") ?? "";
    const mine = of(organization);
    const answer = (status: number, body: object, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    };
    if (url.pathname === "/send") {
      const key = String(request.headers["idempotency-key"]);
      const effect = (await json(request).catch(() => undefined)) as Effect | undefined;
      // The hub died while it wrote the request.
      if (!effect) return response.destroy();
      if (mine.effects.has(key)) mine.repeats += 1;
      else {
        mine.effects.set(key, effect);
        onStep(organization);
      }
      return chance(organization, JSON.stringify(effect)) < 0.1
        ? answer(500, { error: "the answer is lost" })
        : answer(200, { id: `vendor-${key}` });
    }
    const at = Number(url.searchParams.get("at"));
    const luck = chance(organization, `page ${at}`);
    await new Promise((resolve) => setTimeout(resolve, luck > 0.75 ? slowMs : 10));
    if (luck < 0.2) return answer(503, { error: "later" }, { "retry-after": "1" });
    const items = Array.from({ length: Math.max(0, Math.min(pageSize, itemCount - at)) }, (_, n) => ({
      id: `item-${at + n}`,
      name: `Contact ${at + n}`,
      // Many items share a time, as vendors' do.
      updatedAt: `2026-01-01T00:00:0${Math.floor((at + n) / 8)}Z`,
      ...((at + n) % 13 === 12 ? { deleted: true } : {}),
    }));
    answer(200, { items, next: at + items.length < itemCount ? at + items.length : null });
    if (items.length > 0 && !mine.pages.has(at)) {
      mine.pages.add(at);
      onStep(organization);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    of,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
