/** A hub in a process of its own that a crash run starts, kills and starts again, and what the run asks of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { packPlugin } from "../../src/packages/pack.ts";

const root = join(import.meta.dirname, "../..");
const adminToken = `crash-test-${"x".repeat(16)}`;

export interface CrashHub {
  child: ChildProcess;
  url: string;
  dataDir: string;
  /** The end of what it printed. */
  output(): string;
}

export async function startHub(dataDir: string, env: Record<string, string>): Promise<CrashHub> {
  const child = spawn(join(root, "node_modules/.bin/node"), ["test/crash/hub-process.ts"], {
    cwd: root,
    env: {
      NODE_COMPILE_CACHE: join(root, "node_modules/.cache/crash"),
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
      output = (output + chunk).slice(-10_000);
      const found = /Backplane listening on (\S+)/.exec(output)?.[1];
      if (found) resolve(found);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", (code, signal) =>
      reject(new Error(`the hub ended before it listened (${code ?? signal}):\n${output}`)),
    );
    setTimeout(() => reject(new Error(`the hub did not listen within two minutes:\n${output}`)), 120_000).unref();
  });
  return { child, url, dataDir, output: () => output };
}

export interface CallOptions {
  method?: string;
  /** @default "demo" */
  org?: string;
  /** JSON; bytes are sent as a package. */
  body?: unknown;
  /** @default 20000 */
  timeoutMs?: number;
}

export async function call(
  url: string,
  path: string,
  { method = "POST", org = "demo", body, timeoutMs = 20_000 }: CallOptions = {},
): Promise<{ status: number; body: unknown }> {
  const isPackage = body instanceof Uint8Array;
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${adminToken}`,
      "x-organization-id": org,
      ...(body === undefined ? {} : { "content-type": isPackage ? "application/gzip" : "application/json" }),
    },
    ...(body === undefined ? {} : { body: isPackage ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return { status: response.status, body: text === "" ? undefined : isJson ? JSON.parse(text) : text };
}

export async function must(url: string, path: string, options: CallOptions = {}): Promise<unknown> {
  const answer = await call(url, path, { timeoutMs: 60_000, ...options });
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const packages = new Map<string, ReturnType<typeof packPlugin>>();

/** Publishes, installs and activates the plugin in `folder` beside this file. */
export async function installPlugin(url: string, folder: string, id: string, org = "demo"): Promise<void> {
  const packed = packages.get(folder) ?? packPlugin(join(import.meta.dirname, folder));
  packages.set(folder, packed);
  await must(url, "/api/packages", { org, body: (await packed).tgz });
  await must(url, "/api/plugins", { org, body: { id, grants: "all" } });
  await must(url, `/api/plugins/${id}/activate`, { org });
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A small seeded generator, so that a run can be repeated. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
