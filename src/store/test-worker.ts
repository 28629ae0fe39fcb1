/**
 * The database worker of tests: the hub's own worker, which can also go back to the moment it was ready. Everything the engine
 * knows lies in its memory and in its in-memory files, so both are put back, and what comes next finds a database as new as a
 * started one: no statements prepared, nothing listened to, no transaction left open. That takes a tenth of a start.
 */
import { type MessagePort, workerData } from "node:worker_threads";
import { PGlite, type PGliteOptions } from "@electric-sql/pglite";
import type { PgliteWorkerData } from "./pglite-worker.ts";

export interface TestWorkerData extends PgliteWorkerData {
  /** Hears "rewind" when no request is under way, and answers whether the worker may be used again. */
  control: MessagePort;
}

interface Stream {
  node: FileNode;
  shared: object;
}

interface FileNode {
  /** A file's bytes, or a folder's nodes by name. */
  contents?: Uint8Array | Record<string, FileNode> | null;
}

type Write = (stream: Stream, ...rest: unknown[]) => number;

/** What of the engine PGlite's types leave out. */
interface Engine {
  HEAPU8: Uint8Array;
  ___stack_pointer: { value: number };
  FS: {
    root: FileNode;
    nameTable: (FileNode | undefined)[];
    streams: (Stream | null | undefined)[];
    filesystems: { MEMFS: { ops_table: { file: { stream: { write: Write } } }; stream_ops: { write: Write } } };
    stat(path: string, ...rest: unknown[]): unknown;
  };
}

const chunkBytes = 65_536;
const zeros = Buffer.alloc(chunkBytes);

/** Notes where the engine stands between two requests. The result puts it back there and says whether that is possible. */
function keep(engine: Engine): () => boolean {
  const stack = engine.___stack_pointer.value;
  const putMemoryBack = keepMemory(engine);
  const putFilesBack = keepFiles(engine.FS);
  let hasLoaded = false;
  // A library that the engine loads is linked into the instance itself, where nothing takes it out again.
  const stat = engine.FS.stat;
  engine.FS.stat = (path, ...rest) => {
    const found = stat(path, ...rest);
    hasLoaded ||= String(path).endsWith(".so");
    return found;
  };
  return () => {
    if (hasLoaded) return false;
    putMemoryBack();
    putFilesBack();
    // An error leaves it a little lower than before.
    engine.___stack_pointer.value = stack;
    return true;
  };
}

function keepMemory(engine: Engine): () => void {
  const kept: (Buffer | undefined)[] = [];
  for (const chunk of chunksOf(engine.HEAPU8)) kept.push(chunk.equals(zeros) ? undefined : Buffer.from(chunk));
  return () => {
    let index = 0;
    // The memory may have grown since; what was not there was never read, and must be zero like any new memory.
    for (const chunk of chunksOf(engine.HEAPU8)) {
      const before = kept[index++] ?? zeros;
      if (!chunk.equals(before)) before.copy(chunk);
    }
  };
}

function* chunksOf(memory: Uint8Array): Generator<Buffer> {
  for (let at = 0; at < memory.byteLength; at += chunkBytes) yield Buffer.from(memory.buffer, at, chunkBytes);
}

function keepFiles(fs: Engine["FS"]): () => void {
  const nodes = new Map<FileNode, FileNode>();
  const visit = (node: FileNode): void => {
    if (nodes.has(node)) return;
    const { contents } = node;
    const isFolder = contents && !(contents instanceof Uint8Array);
    nodes.set(node, { ...node, ...(isFolder && { contents: { ...contents } }) });
    if (isFolder) for (const child of Object.values(contents)) visit(child);
  };
  visit(fs.root);
  const names = [...fs.nameTable];
  const streams = fs.streams.map((stream) => stream && { stream, fields: { ...stream }, shared: { ...stream.shared } });

  // The bytes that were kept stay as they are: who writes to a file of then gets a copy.
  const unwritten = new Set(nodes.keys());
  const { MEMFS } = fs.filesystems;
  for (const operations of [MEMFS.ops_table.file.stream, MEMFS.stream_ops]) {
    const write = operations.write;
    operations.write = (stream, ...rest) => {
      const { node } = stream;
      if (unwritten.delete(node) && node.contents instanceof Uint8Array) node.contents = node.contents.slice();
      return write(stream, ...rest);
    };
  }
  return () => {
    for (const [node, fields] of nodes) {
      const { contents } = fields;
      const isFolder = contents && !(contents instanceof Uint8Array);
      Object.assign(node, fields, isFolder && { contents: { ...contents } });
      unwritten.add(node);
    }
    fs.nameTable.splice(0, fs.nameTable.length, ...names);
    fs.streams.length = 0;
    for (const kept of streams) {
      fs.streams.push(kept && Object.assign(kept.stream, kept.fields));
      if (kept) Object.assign(kept.stream.shared, kept.shared);
    }
  };
}

const { control } = workerData as TestWorkerData;
const create = PGlite.create.bind(PGlite) as (options: PGliteOptions) => Promise<PGlite>;
(PGlite as { create: unknown }).create = async (options: PGliteOptions): Promise<PGlite> => {
  const pglite = await create(options);
  // Blocks of PL/pgSQL load a library; once it is there before, they may be used and taken back.
  await pglite.exec("do $$ begin end $$");
  const rewind = keep(pglite.Module as unknown as Engine);
  control.on("message", () => control.postMessage(rewind()));
  control.unref();
  return pglite;
};
await import("./pglite-worker.ts");
