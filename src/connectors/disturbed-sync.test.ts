/** Whatever a service and the hubs do in the middle of a sync, tables and cursors end as those of an undisturbed one. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { SyncOptions } from "../../plugin-api/src/connector.ts";
import type { OrganizationId } from "../base/brands.ts";
import { openTestStore, type TestStore } from "../store/test-store.ts";
import {
  installScripted,
  scriptedPlugin as plugin,
  type ScriptedConnector,
  type ScriptedItem,
  scriptedInvoker,
  startEngine,
  type TestEngine,
  vendorError,
} from "./engine-fixture.ts";

let store: TestStore;
let engines: TestEngine[];
const scripts = new Map<string, ScriptedConnector>();

before(async () => {
  store = await openTestStore();
  const invoker = scriptedInvoker((organization) => scripts.get(organization) ?? {}, { items: 3 });
  engines = await Promise.all([1, 2].map(() => startEngine({ store, invoker, itemsPerCall: 8 })));
});
after(async () => {
  for (const engine of engines) await engine[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

type Mode = "own" | "ordered" | "unordered";
type Disturbance = { afterItems: number; what: "error" | "slow down" | "death" };

interface Vendor {
  mode: Mode;
  /** The service's items; equal times are common. */
  items: { time: number; type: "contact" | "friend"; deleted: boolean }[];
  pageSize: number;
  disturbances: Disturbance[];
  seed: number;
}

const vendors: fc.Arbitrary<Vendor> = fc.record({
  mode: fc.constantFrom<Mode>("own", "ordered", "unordered"),
  items: fc.array(
    fc.record({
      time: fc.integer({ min: 1, max: 4 }),
      type: fc.constantFrom<"contact" | "friend">("contact", "friend"),
      deleted: fc.boolean(),
    }),
    { minLength: 1, maxLength: 25 },
  ),
  pageSize: fc.integer({ min: 1, max: 5 }),
  disturbances: fc.array(
    fc.record({
      afterItems: fc.integer({ min: 0, max: 12 }),
      what: fc.constantFrom<Disturbance["what"]>("error", "slow down", "death"),
    }),
    { maxLength: 3 },
  ),
  seed: fc.integer({ min: 1, max: 1_000_000 }),
});

const at = (time: number): string => `2026-01-0${time}T00:00:00.000Z`;

/** The script of a vendor; a hub that dies in the middle hangs until `release`. */
function scriptOf({ mode, items, pageSize, disturbances, seed }: Vendor): {
  connector: ScriptedConnector;
  waiting(): boolean;
  revive(): void;
  release(): void;
} {
  const all: ScriptedItem[] = items.map(({ time, type, deleted }, i) => ({
    id: `${type}-${i}`,
    type,
    deleted: deleted && mode !== "unordered",
    updatedAt: at(time),
    data: { displayName: `${type} ${i}` },
  }));
  const gates: PromiseWithResolvers<void>[] = [];
  let calls = 0;
  let dead = 0;
  const random = randomOf(seed);
  const listed = ({ since, cursor }: SyncOptions): ScriptedItem[] => {
    const from = all.filter(({ updatedAt }) => since === undefined || updatedAt! >= since);
    if (mode === "ordered")
      return shuffled(from, random).sort((a, b) =>
        a.updatedAt! < b.updatedAt! ? -1 : a.updatedAt! > b.updatedAt! ? 1 : 0,
      );
    if (mode === "unordered") return shuffled(from, random);
    // Pages come in their order, what is on a page in any.
    const start = cursor === undefined ? 0 : (cursor as number);
    const pages: ScriptedItem[] = [];
    for (let page = start; page < all.length; page += pageSize) {
      const shown = shuffled(all.slice(page, page + pageSize), random).map(({ updatedAt: _, ...item }) => item);
      const last = shown.at(-1)!;
      shown[shown.length - 1] = { ...last, cursor: Math.min(page + pageSize, all.length) };
      pages.push(...shown);
    }
    return pages;
  };
  return {
    connector: {
      async *sync(options) {
        const trouble = disturbances[calls];
        calls += 1;
        let count = 0;
        for (const item of listed(options)) {
          if (count === trouble?.afterItems) await disturb(trouble.what);
          count += 1;
          yield item;
        }
      },
    },
    waiting: () => dead > 0,
    revive() {
      dead = 0;
    },
    release() {
      for (const gate of gates) gate.resolve();
    },
  };

  async function disturb(what: Disturbance["what"]): Promise<void> {
    if (what === "error") throw vendorError({ status: 500 });
    if (what === "slow down") throw vendorError({ status: 429, retryAfter: 0.01 });
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    dead += 1;
    await gate.promise;
  }
}

async function syncOnce(vendor: Vendor): Promise<{ organization: OrganizationId; after(): Promise<object> }> {
  const organization = await installScripted(
    { store, installations: engines[0]!.installations },
    { connector: { ordered: vendor.mode === "ordered" } },
  );
  const script = scriptOf(vendor);
  scripts.set(organization, script.connector);
  const { connectors } = engines[0]!;
  const id = await connectors.sync({ organization, plugin, actor: "test" });
  for (;;) {
    const run = await connectors.run(organization, plugin, id);
    if (run.endedAt !== null) {
      assert.equal(run.status, "succeeded", JSON.stringify([run.error, vendor]));
      break;
    }
    if (script.waiting()) {
      script.revive();
      const { node_id: node } = await store.db
        .selectFrom("connector_runs")
        .select("node_id")
        .where("id", "=", id)
        .executeTakeFirstOrThrow();
      // Its leases are free, and the other one hears of it.
      await engines.find((engine) => engine.node !== node)!.deliveries.nodeLost(node!);
    }
    await sleep(5);
  }
  // The dead come back and try to go on.
  script.release();
  await sleep(10);
  return { organization, after: () => lookAt(organization) };
}

async function lookAt(organization: OrganizationId): Promise<object> {
  const rows = await store.db
    .selectFrom("entities")
    .select(["source", "external_id", "data"])
    .where("organization_id", "=", organization)
    .where("deleted_at", "is", null)
    .orderBy("external_id")
    .execute();
  const { position } = await engines[0]!.connectors.state(organization, plugin);
  return { rows, position };
}

test("errors, slow downs, dead hubs, shuffled pages and equal times leave no trace", async () => {
  await fc.assert(
    fc.asyncProperty(vendors, async (vendor) => {
      const disturbed = await syncOnce(vendor);
      const calm = await syncOnce({ ...vendor, disturbances: [] });
      const seen = (await disturbed.after()) as { position: { last: unknown } };
      const expected = (await calm.after()) as { position: { last: unknown } };
      // Which kind stood last on the last page is the service's whim.
      seen.position.last = expected.position.last = null;
      if (vendor.mode === "own") for (const look of [seen, expected]) ownValues(look);
      assert.deepEqual(seen, expected);
    }),
    { numRuns: 30, endOnFailure: true },
  );
});

/** Own cursors stand with whatever kind came last on a page: the furthest is what counts. */
function ownValues(look: object): void {
  const { position } = look as { position: { own: unknown } };
  position.own = Math.max(...(Object.values(position.own as object) as number[]));
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}
