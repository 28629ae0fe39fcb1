/**
 * The vendor of a flow run: pages of items, and sends that it knows again by their idempotency key. It answers wrongly at
 * seeded moments: a send that took effect is answered with 500, a page with 503 and a moment to wait.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export interface Effect {
  to: string;
  body: string;
}

export interface Vendor extends AsyncDisposable {
  origin: string;
  /** What took effect, by idempotency key. */
  effects: Map<string, Effect>;
  /** Requests with a key that had taken effect already. */
  repeats: number;
  /** Pages that were asked for, by organisation. */
  pages: Map<string, number>;
}

export const itemCount = 40;
/** Of these, how many are told as deleted: every thirteenth. */
export const deletedCount = Math.floor(itemCount / 13);
const pageSize = 5;

export async function startVendor(random: () => number): Promise<Vendor> {
  const effects = new Map<string, Effect>();
  const pages = new Map<string, number>();
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", "https://vendor.test");
    const answer = (status: number, body: object, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    };
    if (url.pathname === "/send") {
      const key = String(request.headers["idempotency-key"]);
      const effect = (await json(request)) as Effect;
      if (effects.has(key)) vendor.repeats += 1;
      else effects.set(key, effect);
      return random() < 0.1 ? answer(500, { error: "the answer is lost" }) : answer(200, { id: `vendor-${key}` });
    }
    const organization = url.searchParams.get("org") ?? "";
    pages.set(organization, (pages.get(organization) ?? 0) + 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (random() < 0.05) return answer(503, { error: "later" }, { "retry-after": "1" });
    const at = Number(url.searchParams.get("at"));
    const items = Array.from({ length: Math.max(0, Math.min(pageSize, itemCount - at)) }, (_, n) => ({
      id: `item-${at + n}`,
      name: `Contact ${at + n}`,
      // Many items share a time, as vendors' do.
      updatedAt: `2026-01-01T00:00:0${Math.floor((at + n) / 8)}Z`,
      ...((at + n) % 13 === 12 ? { deleted: true } : {}),
    }));
    answer(200, { items, next: at + items.length < itemCount ? at + items.length : null });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const vendor: Vendor = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    effects,
    repeats: 0,
    pages,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return vendor;
}
