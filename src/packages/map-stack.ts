/**
 * Makes a guest's stack readable: positions in the bundle become positions in the author's files. Source maps are
 * hostile input, so they are decoded in one worker thread that is ended when it takes too long or too much memory; the
 * hub itself parses only a capped stack. Mapping is a kindness: whatever goes wrong, the stack comes back as it was.
 */
import { Worker } from "node:worker_threads";
import { packageLimits } from "./limits.ts";
import { bareWorker, siblingModule } from "./run-in-worker.ts";

export interface StackToMap {
  stack: string;
  /** File name under which the bundle was compiled, as frames show it. */
  script: string;
  /** Names the source map for the caches; the digest of the package. */
  key: string;
  /** Asked only when the worker does not hold the map already. */
  loadSourceMap(): Promise<string | undefined>;
}

export interface StackMapper extends AsyncDisposable {
  /** Never rejects. At most 16,384 characters and 50 frames come back. */
  mapStack(stack: StackToMap): Promise<string>;
}

export interface StackMapperOptions {
  /** For one stack, the decoding of its map included. @default 3000 */
  timeoutMs?: number;
  /** Heap of the worker. @default 512 */
  heapMb?: number;
}

/** Zero-based line and column. */
export type Position = [line: number, column: number];
export interface MapRequest {
  key: string;
  positions: Position[];
  /** Present when the worker asked for it. */
  sourceMap?: string;
}
export type MapAnswer = { needsMap: true } | { places: (string | null)[] };

const maxStack = 16_384;
const maxFrames = 50;
const maxWaiting = 32;
const maxKnown = 500;
const maxRefused = 200;

export function createStackMapper({ timeoutMs = 3000, heapMb = 512 }: StackMapperOptions = {}): StackMapper {
  const known = new Map<string, string>();
  /** Maps that ended the worker once are not tried again. */
  const refused = new Set<string>();
  let worker: Worker | undefined;
  let waiting = 0;
  let queue: Promise<unknown> = Promise.resolve();

  async function endWorker(): Promise<void> {
    const ended = worker;
    worker = undefined;
    await ended?.terminate();
  }

  function startWorker(): Worker {
    const started = new Worker(siblingModule("map-stack-worker"), bareWorker(heapMb));
    started.unref();
    started.on("error", () => {});
    started.on("exit", () => {
      if (worker === started) worker = undefined;
    });
    return started;
  }

  function ask(request: MapRequest): Promise<MapAnswer | undefined> {
    worker ??= startWorker();
    const asked = worker;
    return new Promise((resolve) => {
      const finish = (answer: MapAnswer | undefined): void => {
        clearTimeout(timer);
        asked.off("message", finish);
        asked.off("exit", onExit);
        resolve(answer);
      };
      const onExit = (): void => finish(undefined);
      const timer = setTimeout(() => finish(undefined), timeoutMs);
      asked.on("message", finish);
      asked.on("exit", onExit);
      asked.postMessage(request);
    });
  }

  async function placesOf(key: string, positions: Position[], loadSourceMap: StackToMap["loadSourceMap"]) {
    if (refused.has(key)) return undefined;
    let answer = await ask({ key, positions });
    if (answer && "needsMap" in answer) {
      const sourceMap = await loadSourceMap().catch(() => undefined);
      if (sourceMap === undefined || sourceMap.length > packageLimits.sourceMapBytes) return undefined;
      answer = await ask({ key, positions, sourceMap });
    }
    if (answer && "places" in answer) return answer.places;
    await endWorker();
    if (refused.size >= maxRefused) refused.clear();
    refused.add(key);
    return undefined;
  }

  return {
    async mapStack({ stack, script, key, loadSourceMap }) {
      const lines = stack.slice(0, maxStack).split("\n").filter(frameFilter());
      const frames = lines.map((line) => findPosition(line, script));
      const plain = lines.join("\n");
      const positions = frames.flatMap((frame) => (frame ? [frame.position] : []));
      if (positions.length === 0) return plain;
      const cacheKey = `${key}\n${plain}`;
      const before = known.get(cacheKey);
      if (before !== undefined) return before;
      // A plugin that fails in a storm gets plain stacks instead of a queue of work.
      if (waiting >= maxWaiting) return plain;

      waiting += 1;
      const turn = queue.then(() => placesOf(key, positions, loadSourceMap)).catch(() => undefined);
      queue = turn;
      const places = await turn;
      waiting -= 1;
      if (!places) return plain;

      let next = 0;
      const mapped = lines.map((line, n) => {
        const frame = frames[n];
        const place = frame && places[next++];
        return frame && place ? line.slice(0, frame.start) + place + line.slice(frame.end) : line;
      });
      const result = mapped.join("\n").slice(0, maxStack);
      if (known.size >= maxKnown) known.delete(known.keys().next().value ?? "");
      known.set(cacheKey, result);
      return result;
    },

    async [Symbol.asyncDispose]() {
      await endWorker();
    },
  };
}

/** Keeps the message's lines and the first frames. */
function frameFilter(): (line: string) => boolean {
  let frames = 0;
  return (line) => !isFrame(line) || ++frames <= maxFrames;
}

function isFrame(line: string): boolean {
  return /^\s{1,8}at /.test(line);
}

/** Where `script:LINE:COLUMN` stands in a frame's line, and what it says. */
function findPosition(line: string, script: string): { start: number; end: number; position: Position } | undefined {
  if (!isFrame(line)) return undefined;
  const start = line.lastIndexOf(`${script}:`);
  if (start < 0) return undefined;
  const rest = line.slice(start + script.length);
  const match = /^:(\d{1,9}):(\d{1,9})(?=\)?$)/.exec(rest);
  if (!match) return undefined;
  const position: Position = [Number(match[1]) - 1, Number(match[2]) - 1];
  return { start, end: start + script.length + match[0].length, position };
}
