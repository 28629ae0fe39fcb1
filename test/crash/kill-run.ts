/**
 * One crash run: hubs are killed with SIGKILL at seeded moments while events, asynchronous calls and webhooks come in; at
 * the end everything that was accepted must have been handled. Used by the short test here and by the long soak.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CrashHub, call, installPlugin, mulberry32, sleep, startHub } from "./crash-hub.ts";

export interface KillRunOptions {
  seed: number;
  kills: number;
  /** Shared services; without them one hub on the embedded store. */
  env?: Record<string, string>;
  /** Hubs at once; more than one needs a shared database. @default 1 */
  hubs?: number;
  /** How long the end may take, ms. @default 60000 */
  settleMs?: number;
}

export interface KillRunResult {
  accepted: number;
  missing: string[];
  kills: number;
}

export async function killRun({
  seed,
  kills,
  env = {},
  hubs = 1,
  settleMs = 60_000,
}: KillRunOptions): Promise<KillRunResult> {
  const random = mulberry32(seed);
  const folder = await mkdtemp(join(tmpdir(), "backplane-crash-"));
  const dataDirs = Array.from({ length: hubs }, (_, n) => join(folder, `hub-${n}`));
  const running: CrashHub[] = [];
  const accepted: string[] = [];
  try {
    for (const dataDir of dataDirs) running.push(await startHub(dataDir, env));
    await installPlugin(running[0]!.url, "keeper", "test.keeper");
    for (let kill = 0; kill < kills; kill++) {
      const load = new AbortController();
      const work = Promise.all(
        Array.from({ length: 6 }, () => sendUntil({ running, accepted, signal: load.signal, random })),
      );
      const before = accepted.length;
      await sleep(200 + random() * 1000);
      // On a busy machine a hub may have taken nothing by then, and its death would prove nothing.
      for (const until = Date.now() + 30_000; accepted.length < before + 4 && Date.now() < until; ) await sleep(20);
      const victim = Math.floor(random() * running.length);
      running[victim]!.child.kill("SIGKILL");
      if (hubs > 1) await sleep(200 + random() * 500);
      load.abort();
      await work;
      running[victim] = await startHub(dataDirs[victim]!, env);
    }
    const until = Date.now() + settleMs;
    let missing = await stillMissing(running[0]!.url, accepted);
    while (missing.length > 0 && Date.now() < until) {
      await sleep(500);
      missing = await stillMissing(running[0]!.url, missing);
    }
    return { accepted: accepted.length, missing, kills };
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

/** Only what was answered with success counts as accepted: a request that the kill cut off may or may not have been. */
async function sendUntil({
  running,
  accepted,
  signal,
  random,
}: {
  running: CrashHub[];
  accepted: string[];
  signal: AbortSignal;
  random: () => number;
}): Promise<void> {
  while (!signal.aborted) {
    const id = randomUUID();
    const { url } = running[Math.floor(random() * running.length)]!;
    try {
      const kind = Math.floor(random() * 3);
      if (
        kind === 0 &&
        (await call(url, "/api/events", { body: { type: "order.created", data: {}, id } })).status === 202
      )
        accepted.push(id);
      if (
        kind === 1 &&
        (await call(url, "/api/plugins/test.keeper", { body: { function: "keep", parameters: { id }, mode: "async" } }))
          .status === 202
      )
        accepted.push(id);
      if (kind === 2) {
        const answer = await fetch(`${url}/webhooks/demo/test.keeper`, {
          method: "POST",
          body: JSON.stringify({ id }),
          headers: { "content-type": "application/json" },
          signal: AbortSignal.timeout(20_000),
        });
        await answer.arrayBuffer();
        if (answer.status === 200) accepted.push(id);
      }
    } catch {
      await sleep(20);
    }
  }
}

async function stillMissing(url: string, ids: string[]): Promise<string[]> {
  const missing: string[] = [];
  for (let at = 0; at < ids.length; at += 100) {
    const answer = await call(url, "/api/plugins/test.keeper", {
      body: { function: "missing", parameters: { ids: ids.slice(at, at + 100) } },
    });
    if (answer.status !== 200) throw new Error(`missing: ${answer.status} ${JSON.stringify(answer.body)}`);
    missing.push(...(answer.body as { result: string[] }).result);
  }
  return missing;
}
