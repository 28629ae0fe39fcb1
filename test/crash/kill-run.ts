/**
 * One crash run: hubs are killed with SIGKILL at seeded moments while events, asynchronous calls and webhooks come in; at
 * the end everything that was accepted must have been handled. Used by the short test here and by the long soak.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packPlugin } from "../../src/packages/pack.ts";

const root = join(import.meta.dirname, "../..");
const adminToken = `crash-test-${"x".repeat(16)}`;

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

interface RunningHub {
  child: ChildProcess;
  url: string;
  dataDir: string;
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
  const running: RunningHub[] = [];
  const accepted: string[] = [];
  try {
    for (const dataDir of dataDirs) running.push(await startHub(dataDir, env));
    await installKeeper(running[0]!.url);
    for (let kill = 0; kill < kills; kill++) {
      const load = new AbortController();
      const work = Promise.all(
        Array.from({ length: 6 }, () => sendUntil({ running, accepted, signal: load.signal, random })),
      );
      await sleep(200 + random() * 1000);
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

async function startHub(dataDir: string, env: Record<string, string>): Promise<RunningHub> {
  const child = spawn(join(root, "node_modules/.bin/node"), ["test/crash/hub-process.ts"], {
    cwd: root,
    env: {
      ...process.env,
      PORT: "0",
      BACKPLANE_DATA: dataDir,
      BACKPLANE_ADMIN_TOKEN: adminToken,
      BACKPLANE_LOG: "error",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk;
      const found = /Backplane listening on (\S+)/.exec(output)?.[1];
      if (found) resolve(found);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", (code, signal) =>
      reject(new Error(`the hub ended before it listened (${code ?? signal}):\n${output}`)),
    );
    setTimeout(() => reject(new Error(`the hub did not listen within 60 s:\n${output}`)), 60_000).unref();
  });
  return { child, url, dataDir };
}

const headers = { authorization: `Bearer ${adminToken}`, "x-organization-id": "demo" };

async function call(url: string, path: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: response.status, body: await response.json() };
}

async function installKeeper(url: string): Promise<void> {
  const { tgz } = await packPlugin(join(import.meta.dirname, "keeper"));
  const published = await fetch(`${url}/api/packages`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/gzip" },
    body: tgz as Uint8Array<ArrayBuffer>,
  });
  if (published.status !== 201) throw new Error(`publish: ${published.status} ${await published.text()}`);
  for (const [path, body] of [
    ["/api/plugins", { id: "test.keeper", grants: "all" }],
    ["/api/plugins/test.keeper/activate", {}],
  ] as const) {
    const answer = await call(url, path, body);
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
}

/** Only what was answered with success counts as accepted: a request that the kill cut off may or may not have been. */
async function sendUntil({
  running,
  accepted,
  signal,
  random,
}: {
  running: RunningHub[];
  accepted: string[];
  signal: AbortSignal;
  random: () => number;
}): Promise<void> {
  while (!signal.aborted) {
    const id = randomUUID();
    const { url } = running[Math.floor(random() * running.length)]!;
    try {
      const kind = Math.floor(random() * 3);
      if (kind === 0 && (await call(url, "/api/events", { type: "order.created", data: {}, id })).status === 202)
        accepted.push(id);
      if (
        kind === 1 &&
        (await call(url, "/api/plugins/test.keeper", { function: "keep", parameters: { id }, mode: "async" }))
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
      function: "missing",
      parameters: { ids: ids.slice(at, at + 100) },
    });
    if (answer.status !== 200) throw new Error(`missing: ${answer.status} ${JSON.stringify(answer.body)}`);
    missing.push(...(answer.body as { result: string[] }).result);
  }
  return missing;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A small seeded generator, so that a run can be repeated. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
