/**
 * Entities per second that a connector's sync commits in a whole hub (guest generator, mapping, wall, checks, rows, cursor,
 * events), against a bare loop of one `INSERT … ON CONFLICT` a batch of the same size into the same table of a database of its own: the
 * same columns and indexes, since they are what queries of these rows need whoever writes them. The loop writes no events. The parts
 * also tell of the same loop into a lean table, which has only the two keys. And the memory of hub and runners as a sync goes from
 * 10,000 to 1,000,000 items.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sql } from "kysely";
import { asOrganizationId, asPluginId } from "../src/base/brands.ts";
import { newId } from "../src/base/ids.ts";
import type { Run } from "../src/connectors/run-records.ts";
import type { Hub } from "../src/hub.ts";
import { composeHub } from "../src/main.ts";
import { loadFolder } from "../src/packages/load-folder.ts";
import { jsonRows } from "../src/store/json.ts";
import { openStore } from "../src/store/open-store.ts";
import type { BenchContext, Benchmark, Measured } from "./benchmark.ts";
import { sleep } from "./parts/engine.ts";
import { freshDatabase } from "./parts/fresh-database.ts";
import { figure, interleave, median, percentile, ratios } from "./statistics.ts";

const organization = asOrganizationId("bench");
const plugin = asPluginId("backplane.bench-connector");
const actor = "system";
/** As of src/connectors/pull-batches.ts. */
const batchSize = 500;

export const benchmark: Benchmark = {
  name: "sync",
  goals: ["sync-pglite", "sync-postgres", "sync-memory"],
  async run(context) {
    const server = process.env["TEST_DATABASE_URL"];
    const missing: Measured = { goal: "sync-postgres", note: "needs TEST_DATABASE_URL" };
    return [
      await speed("sync-pglite", undefined, context),
      server ? await speed("sync-postgres", server, context) : missing,
      await memory(server, context),
    ];
  },
};

async function speed(
  goal: "sync-pglite" | "sync-postgres",
  server: string | undefined,
  context: BenchContext,
): Promise<Measured> {
  const { rounds, quick, log } = context;
  const items = quick ? 5_000 : 20_000;
  await using opened = new AsyncDisposableStack();
  const bare = await openBare(server, opened);
  const lean = await openBare(server, opened, { lean: true });
  const hub = await openHub(server, opened);
  let turn = 0;
  const contenders = {
    lean: () => lean(items, `l${++turn}`),
    bare: () => bare(items, `b${++turn}`),
    sync: async () => {
      await hub.lifecycle.configure({ organization, actor }, plugin, { items, prefix: `s${++turn}` });
      const run = await syncOnce(hub);
      return (items / (run.endedAt!.getTime() - run.startedAt!.getTime())) * 1000;
    },
  };
  await interleave(1, contenders);
  const perSecond = await interleave(Math.min(rounds, 4), contenders);
  const samples = ratios(perSecond.sync, perSecond.bare);
  const againstLean = median(ratios(perSecond.sync, perSecond.lean));
  log(
    `${goal}: lean ${Math.round(median(perSecond.lean))}/s, bare ${Math.round(median(perSecond.bare))}/s, synced ${Math.round(median(perSecond.sync))}/s`,
  );
  return {
    goal,
    value: median(samples),
    samples,
    parts: {
      "synced /s": median(perSecond.sync),
      "bare /s": median(perSecond.bare),
      "lean table /s": median(perSecond.lean),
      "× of lean table": againstLean,
    },
    note: "against the table with the same columns and indexes; the bare loop writes no events",
  };
}

async function openHub(server: string | undefined, opened: AsyncDisposableStack): Promise<Hub> {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-bench-"));
  opened.defer(() => rm(dataDir, { recursive: true, force: true }));
  const hub = await composeHub({
    ...{ pluginsDir: null, logLevel: "error", dataDir },
    ...(server === undefined ? {} : { databaseUrl: await freshDatabase(server, opened) }),
  });
  opened.defer(() => hub.close({ drainMs: 0 }));
  await hub.access.createOrganization({ id: organization, name: "Bench", actor });
  const folder = await loadFolder(fileURLToPath(new URL("./connector/", import.meta.url)));
  await hub.packages.publishContent(organization, folder, { actor });
  await hub.lifecycle.install({ organization, actor }, { id: plugin, grants: "all" });
  await hub.lifecycle.activate({ organization, actor }, plugin);
  return hub;
}

async function syncOnce({ connectors }: Hub, look: (run: Run) => void = () => {}): Promise<Run> {
  await connectors.reset({ organization, plugin, actor });
  const id = await connectors.sync({ organization, plugin, actor });
  for (;;) {
    const run = await connectors.run(organization, plugin, id);
    look(run);
    if (run.status === "succeeded") return run;
    if (run.endedAt !== null) throw new Error(`the sync ended ${run.status}: ${run.error?.message}`);
    await sleep(20);
  }
}

/** Rows as the connector's, made beforehand; one statement and so one transaction a batch. */
async function openBare(
  server: string | undefined,
  opened: AsyncDisposableStack,
  { lean = false }: { lean?: boolean } = {},
): Promise<(items: number, prefix: string) => Promise<number>> {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-bench-"));
  opened.defer(() => rm(dataDir, { recursive: true, force: true }));
  const store = await openStore(
    server === undefined ? { dataDir } : { databaseUrl: await freshDatabase(server, opened) },
  );
  opened.defer(() => store.close());
  if (lean) {
    const { rows: indexes } = await sql<{ name: string }>`
      select indexname as name from pg_indexes where tablename = 'entities' and indexname not in ('entities_pkey', 'entities_external')`.execute(
      store.db,
    );
    for (const { name } of indexes) await sql`drop index ${sql.ref(name)}`.execute(store.db);
  }
  const columns = { type: "text", id: "text", source: "text", external_id: "text", data: "jsonb", plugin_id: "text" };
  return async (items, prefix) => {
    const rows = Array.from({ length: items }, (_, i) => ({
      ...{ type: "contacts", id: newId(), source: plugin, external_id: `${prefix}-${i}`, plugin_id: plugin },
      data: {
        displayName: `First ${i} Last ${i % 1000}`,
        givenName: `First ${i}`,
        familyName: `Last ${i % 1000}`,
        emails: [{ address: `${prefix}-${i}@example.com`, label: "work", primary: true }],
        phones: [{ number: "+15551234567", label: "mobile" }],
        company: "Acme",
      },
    }));
    const started = performance.now();
    for (let at = 0; at < items; at += batchSize)
      await sql`insert into entities (organization_id, type, id, source, external_id, data, plugin_id)
        select 'bench', rows.* from ${jsonRows(rows.slice(at, at + batchSize), columns)}
        on conflict (organization_id, type, source, external_id) where external_id is not null
        do update set data = entities.data || excluded.data, version = entities.version + 1, updated_at = now()`.execute(
        store.db,
      );
    return (items / (performance.now() - started)) * 1000;
  };
}

/** High marks of memory in the first and in the last tenth that matter: from 10,000 items on, and before the last. */
async function memory(server: string | undefined, { quick, log }: BenchContext): Promise<Measured> {
  const items = quick ? 50_000 : 1_000_000;
  const early = quick ? 10_000 : 100_000;
  await using opened = new AsyncDisposableStack();
  const hub = await openHub(server, opened);
  await hub.lifecycle.configure({ organization, actor }, plugin, { items, prefix: "m" });
  const samples: { items: number; mb: number }[] = [];
  const run = await syncOnce(hub, ({ counts }) => {
    const runners = hub.runtime.status().runners.reduce((sum, { residentBytes }) => sum + residentBytes, 0);
    samples.push({ items: counts.items, mb: (process.memoryUsage().rss + runners) / 2 ** 20 });
  });
  const within = (from: number, to: number): number =>
    percentile(
      samples.filter((sample) => sample.items >= from && sample.items <= to).map(({ mb }) => mb),
      0.5,
    );
  const first = within(10_000, 10_000 + early);
  const last = within(items - early, items);
  const seconds = (run.endedAt!.getTime() - run.startedAt!.getTime()) / 1000;
  log(
    `${items} items in ${Math.round(seconds)} s, ${run.calls} calls: ${Math.round(first)} MB early, ${Math.round(last)} MB late`,
  );
  return {
    goal: "sync-memory",
    value: last / first,
    text: `${figure(last / first)} × (${figure(first)} MB after 10 000, ${figure(last)} MB before ${figure(items)})`,
    parts: { "MB early": first, "MB late": last, items, "items /s": items / seconds, calls: run.calls },
  };
}
