/**
 * The worker thread that holds PGlite. It speaks PostgreSQL's wire protocol: each message from the hub is the bytes of
 * one or more frontend messages, each answer the backend's bytes. It keeps no state of its own and may be ended at any time.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { MemoryFS, PGlite, type PGliteOptions } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";
import { packFiles, readPrepopulated, type StoredFile, unpackFiles } from "./data-image.ts";
import { endsReady } from "./wire.ts";

export interface PgliteWorkerData {
  /** Folder of the database; without one it lives in memory. */
  folder?: string;
  /** Every commit waits until the disk has it. */
  syncToDisk?: boolean;
  /** In memory only: start from this image (see data-image.ts) instead of an empty database. */
  image?: Uint8Array;
  /** The compiled engine, so that several workers of one process compile it once. */
  wasm?: WebAssembly.Module;
}

/** Hub → worker: protocol bytes, or "image" (pack the data folder), or "close". */
export type PgliteRequest = Uint8Array | "image" | "close";
/** Worker → hub, one answer a request, in order. The first, unasked, is "ready". */
export type PgliteAnswer = Uint8Array | "ready" | "closed" | { fault: string };

const dataFolder = "/pglite/data";

/** What broke the engine itself while it ran the current request. */
let broken: unknown;

/**
 * PGlite swallows what the engine throws, takes it for one of PostgreSQL's own jumps, and answers as if the statement
 * were done. A stack overflow (JSON nested 100,000 deep) or a trap is none: the database must be opened anew.
 */
function watchForTraps(pglite: PGlite): void {
  const engine = pglite.Module as unknown as { _PostgresMainLoopOnce(): void };
  const original = engine._PostgresMainLoopOnce;
  engine._PostgresMainLoopOnce = () => {
    try {
      original();
    } catch (error) {
      if (error instanceof RangeError || (error as { name?: unknown } | null)?.name === "RuntimeError") broken = error;
      throw error;
    }
  };
}

async function serve(port: NonNullable<typeof parentPort>, data: PgliteWorkerData): Promise<void> {
  const pglite = await open(data);
  watchForTraps(pglite);
  port.on("message", (request: PgliteRequest) => {
    answer(pglite, request).then(
      (result) => port.postMessage(result, result instanceof Uint8Array ? [result.buffer as ArrayBuffer] : []),
      (error: unknown) => port.postMessage({ fault: String(error) } satisfies PgliteAnswer),
    );
  });
  port.postMessage("ready" satisfies PgliteAnswer);
}

async function open(data: PgliteWorkerData): Promise<PGlite> {
  const options: PGliteOptions = { relaxedDurability: false };
  if (data.wasm) options.pgliteWasmModule = data.wasm;
  if (data.folder !== undefined) {
    if (!data.syncToDisk) return await PGlite.create({ ...options, fs: new NodeFS(data.folder) });
    return await PGlite.create({ ...options, fs: new SyncingNodeFS(data.folder), startParams: syncingParams });
  }
  const files = data.image ? unpackFiles(data.image) : await readPrepopulated();
  return await PGlite.create({ ...options, fs: new SeededMemoryFS(files) });
}

/** PGlite starts with `-F` (never sync). Its fdatasync is empty, so the log must use fsync, which SyncingNodeFS answers. */
const syncingParams = [...PGlite.defaultStartParams.filter((param) => param !== "-F"), "-c", "wal_sync_method=fsync"];

interface EngineStream {
  nfd?: number;
  node: object;
}

/** What is committed survives a loss of power: PGlite's own folder system has no fsync at all. */
class SyncingNodeFS extends NodeFS {
  override async initialSyncFs(): Promise<void> {
    const { NODEFS } = this.pg!.Module.FS.filesystems as unknown as {
      NODEFS: { stream_ops: { fsync?: (stream: EngineStream) => number }; realPath(node: object): string };
    };
    NODEFS.stream_ops.fsync = (stream) => {
      // The log's segments have their full size from the start: their data is all there is to write.
      if (stream.nfd !== undefined) fdatasyncSync(stream.nfd);
      else syncFolder(NODEFS.realPath(stream.node));
      return 0;
    };
  }
}

function syncFolder(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** PGlite's own `loadDataDir` takes a second for the same files: it parses and copies a tar twice. */
class SeededMemoryFS extends MemoryFS {
  #files: StoredFile[];

  constructor(files: StoredFile[]) {
    super();
    this.#files = files;
  }

  override async initialSyncFs(): Promise<void> {
    const fs = this.pg!.Module.FS;
    fs.mkdirTree(dataFolder);
    for (const file of this.#files) {
      const path = `${dataFolder}/${file.path}`;
      // A copy: the engine writes into what it owns, and other workers read the same image.
      if (file.bytes) fs.writeFile(path, file.bytes.slice(), { canOwn: true } as never);
      else fs.mkdirTree(path);
    }
    this.#files = [];
  }
}

async function answer(pglite: PGlite, request: PgliteRequest): Promise<PgliteAnswer> {
  if (request === "close") {
    await pglite.close();
    return "closed";
  }
  if (request === "image") return packImage(pglite);
  const chunks: Uint8Array[] = [];
  let size = 0;
  await pglite.execProtocolRawStream(request, {
    syncToFs: false,
    onRawData: (bytes) => {
      chunks.push(bytes.slice());
      size += bytes.byteLength;
    },
  });
  const all = chunks.length === 1 ? chunks[0]! : join(chunks, size);
  // A database that gave up by itself says why and is not ready; that answer goes to the caller.
  if (broken !== undefined && endsReady(all)) throw broken;
  return all;
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return all;
}

function packImage(pglite: PGlite): Uint8Array {
  const fs = pglite.Module.FS;
  const files: StoredFile[] = [];
  const visit = (folder: string): void => {
    for (const name of fs.readdir(`${dataFolder}/${folder}`) as string[]) {
      if (name === "." || name === ".." || name === "postmaster.pid") continue;
      const path = folder === "" ? name : `${folder}/${name}`;
      if (fs.isDir(fs.stat(`${dataFolder}/${path}`).mode)) {
        files.push({ path });
        visit(path);
      } else {
        files.push({ path, bytes: fs.readFile(`${dataFolder}/${path}`) });
      }
    }
  };
  visit("");
  return packFiles(files);
}

if (parentPort) await serve(parentPort, workerData as PgliteWorkerData);
