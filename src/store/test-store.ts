/**
 * Fresh stores for tests. PGlite: in memory, started from an image that already has the schema (kept in the temporary
 * folder under a hash of the migrations). PostgreSQL: a database of its own on TEST_DATABASE_URL, copied from a template with
 * the schema and dropped at dispose.
 */
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createStore } from "./create-store.ts";
import { migrate } from "./migrate.ts";
import { migrations } from "./migrations/index.ts";
import { openStore } from "./open-store.ts";
import { openPgliteDriver } from "./pglite-driver.ts";
import type { Store } from "./store.ts";
import { createFromTemplate, databaseUrl, dropDatabase } from "./test-template.ts";
import { lendWorker } from "./test-workers.ts";

export type TestStore = Store & AsyncDisposable;

export interface TestStoreOptions {
  /** @default "pglite" */
  driver?: "pglite" | "postgres";
  /** @default 30000 */
  statementTimeoutMs?: number;
  poolSize?: number;
  /** Hears faults of listeners. @default prints them */
  onFault?: (error: unknown) => void;
}

export interface TestPostgresStore extends TestStore {
  /** URL of the test's own database: a second store opened on it is a second hub. */
  readonly databaseUrl: string;
}

/** Closes at dispose. With `driver: "postgres"` TEST_DATABASE_URL must be set. */
export async function openTestStore(options: TestStoreOptions & { driver: "postgres" }): Promise<TestPostgresStore>;
export async function openTestStore(options?: TestStoreOptions): Promise<TestStore>;
export async function openTestStore(options: TestStoreOptions = {}): Promise<TestStore> {
  return options.driver === "postgres" ? await openPostgres(options) : await openPglite(options);
}

async function openPglite({ statementTimeoutMs = 30_000, onFault = printFault }: TestStoreOptions): Promise<TestStore> {
  const [image, wasm] = await Promise.all([testImage(), compiledEngine()]);
  const driver = await openPgliteDriver({ image, wasm, startWorker: lendWorker, statementTimeoutMs, onFault });
  return disposable(createStore(driver), async () => {});
}

async function openPostgres({
  statementTimeoutMs,
  poolSize,
  onFault = printFault,
}: TestStoreOptions): Promise<TestPostgresStore> {
  const server = process.env["TEST_DATABASE_URL"];
  if (!server) throw new Error('openTestStore({driver: "postgres"}) needs TEST_DATABASE_URL');
  const name = `bp_test_${randomBytes(6).toString("hex")}`;
  await createFromTemplate(server, name);
  const url = databaseUrl(server, name);
  const drop = (): Promise<void> => dropDatabase(server, name);
  try {
    const store = await openStore({
      databaseUrl: url,
      statementTimeoutMs,
      poolSize,
      log: { warn: (details) => onFault((details as { err: unknown }).err) },
    });
    return Object.assign(disposable(store, drop), { databaseUrl: url });
  } catch (error) {
    await drop();
    throw error;
  }
}

function disposable(store: Store, afterClose: () => Promise<void>): TestStore {
  return Object.assign(store, {
    async [Symbol.asyncDispose](): Promise<void> {
      await store.close();
      await afterClose();
    },
  });
}

function printFault(error: unknown): void {
  console.error("test store:", error);
}

let image: Promise<Uint8Array> | undefined;
let engine: Promise<WebAssembly.Module> | undefined;

/** Compiled once a process; each worker gets the same module. */
function compiledEngine(): Promise<WebAssembly.Module> {
  engine ??= readFile(join(pgliteFolder(), "pglite.wasm")).then((bytes) => compile(bytes));
  return engine;
}

/** The compiler's libraries for Node name WebAssembly as a namespace of types only. */
const compile = (bytes: Uint8Array): Promise<WebAssembly.Module> =>
  (
    globalThis as unknown as { WebAssembly: { compile(bytes: Uint8Array): Promise<WebAssembly.Module> } }
  ).WebAssembly.compile(bytes);

function testImage(): Promise<Uint8Array> {
  image ??= loadImage();
  return image;
}

async function loadImage(): Promise<Uint8Array> {
  const version = await readFile(join(pgliteFolder(), "..", "package.json"), "utf8");
  const key = createHash("sha256").update(JSON.stringify(migrations)).update(version).digest("hex").slice(0, 24);
  const file = join(tmpdir(), `backplane-test-image-${key}.bin`);
  const cached = await readFile(file).catch(() => undefined);
  // Shared memory: workers read the image without a copy of its own.
  if (cached) return shared(cached);
  const driver = await openPgliteDriver({
    wasm: await compiledEngine(),
    statementTimeoutMs: 60_000,
    onFault: printFault,
  });
  try {
    await migrate(driver);
    const made = await driver.image();
    const draft = `${file}.${process.pid}`;
    await writeFile(draft, made);
    await rename(draft, file);
    await removeOldImages(file);
    return shared(made);
  } finally {
    await driver.close();
  }
}

/** Images of earlier schemas, 40 MB each; one that was used within a day may belong to another checkout. */
async function removeOldImages(current: string): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const file = join(tmpdir(), name);
    if (!name.startsWith("backplane-test-image-") || file === current) continue;
    const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > 86_400_000) await rm(file, { force: true });
  }
}

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.byteLength));
  copy.set(bytes);
  return copy;
}

function pgliteFolder(): string {
  return dirname(createRequire(import.meta.url).resolve("@electric-sql/pglite"));
}
