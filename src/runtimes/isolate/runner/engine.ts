/**
 * The narrow face of the engine: all that the rest of the runner knows of isolated-vm. An isolate takes batches of
 * messages and gives back text; no handle of the engine leaves this file, and none is ever given to a guest.
 */
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import type ivm from "isolated-vm";
import { warmUp } from "./warm-up.ts";

export interface EngineOptions {
  memoryMb: number;
  /** The engine lost control of this isolate: the process can only end. */
  onCatastrophe(message: string): void;
}

export interface BundleSource {
  code: string;
  filename: string;
  cache: Uint8Array | undefined;
}

/** The bundle itself failed; `cause` is what the engine said. */
export class BundleError extends Error {
  constructor(cause: unknown) {
    super("the bundle failed", { cause });
    this.name = "BundleError";
  }
}

export interface EngineIsolate {
  readonly memoryMb: number;
  /**
   * Compiles and runs the bundle, then a batch as `enter` does, on the thread pool. Rejects with BundleError when the
   * bundle does not compile or throws.
   */
  load(source: BundleSource, batch: readonly (number | string)[]): Promise<string>;
  /** Runs a batch on the thread pool and resolves with what the guest sends. Rejects when the isolate ended meanwhile. */
  enter(batch: readonly (number | string)[]): Promise<string>;
  /** The same on this thread. Throws when the slice ran out or the isolate ended. */
  enterInline(batch: readonly (number | string)[], sliceMs: number): string;
  /** V8 refused the cache it was given: another has to be made. */
  readonly cacheRejected: boolean;
  /** Code cache with all functions used so far. */
  produceCache(): Promise<Uint8Array | undefined>;
  /** Heap and counted external memory, bytes. */
  heapBytes(): Promise<number>;
  /** `heapBytes` on this thread. */
  heapBytesNow(): number;
  /** Time some thread spent in the isolate so far, ms; goes on counting while an entry runs. */
  busyMs(): number;
  /** Ends the isolate; a running entry is interrupted where the engine can. */
  dispose(): void;
}

export interface Engine {
  /** Makes a blank isolate with the prelude. Blocks the caller for about a millisecond. */
  create(options: EngineOptions): EngineIsolate;
}

type IsolatedVm = typeof ivm;

/** `addon` is the path of isolated-vm's native file. */
export function createEngine(addon: string, prelude: string): Engine {
  const native = (createRequire(addon)(addon) as { ivm: IsolatedVm }).ivm;
  let preludeCache: ivm.ExternalCopy<ArrayBuffer> | undefined;

  function create(options: EngineOptions): EngineIsolate {
    preludeCache ??= makePreludeCache(native, prelude);
    const isolate = new native.Isolate({
      memoryLimit: options.memoryMb,
      onCatastrophicError: options.onCatastrophe,
    });
    const { context, enter, drain } = evaluatePrelude(isolate, prelude, preludeCache);
    let cacheRejected = false;
    let source: { code: string; filename: string } | undefined;

    return {
      memoryMb: options.memoryMb,
      async load(bundle, batch) {
        const { code, filename, cache } = bundle;
        source = { code, filename };
        const options: ivm.ScriptInfo = { filename };
        let cached: ivm.ExternalCopy<ArrayBuffer> | undefined;
        if (cache !== undefined) {
          const bytes = cache.buffer.slice(cache.byteOffset, cache.byteOffset + cache.byteLength) as ArrayBuffer;
          cached = new native.ExternalCopy(bytes, { transferOut: true });
          options.cachedData = cached;
        }
        let compiled: ivm.Script;
        try {
          // With a cache there is next to nothing to do, and a change of threads costs more.
          compiled =
            cached !== undefined && code.length < compileHereUpTo
              ? isolate.compileScriptSync(code, options)
              : await isolate.compileScript(code, options);
          cacheRejected = (compiled as ivm.Script & { cachedDataRejected?: boolean }).cachedDataRejected === true;
        } catch (error) {
          throw new BundleError(error);
        } finally {
          cached?.release();
        }
        // The completion value must not travel: whatever it is, it is turned away by asking for a reference to it.
        const ran = (compiled.run(context, { reference: true }) as unknown as Promise<ivm.Reference<unknown>>).then(
          (value) => value.release(),
          (error: unknown) => {
            throw new BundleError(error);
          },
        );
        // Queued behind the run without waiting for it: one change of threads for all.
        const entered = this.enter(batch);
        entered.catch(() => {});
        await ran;
        compiled.release();
        return entered;
      },
      enter(batch) {
        // Both tasks are queued before a thread picks them up: one hand-over, and the drain sees all microtasks done.
        enter.applyIgnored(undefined, batch as never);
        return drain.apply(undefined, []) as Promise<string>;
      },
      enterInline(batch, sliceMs) {
        try {
          enter.applySync(undefined, batch as never, { timeout: sliceMs });
        } catch (error) {
          // 0 is the entry's own rejection, see guest/pump.ts.
          if (error !== 0) throw error;
        }
        return drain.applySync(undefined, []) as string;
      },
      get cacheRejected() {
        return cacheRejected;
      },
      async produceCache() {
        if (source === undefined) return undefined;
        const again = await isolate.compileScript(source.code, { filename: source.filename, produceCachedData: true });
        const cache = (again as ivm.Script & ivm.CachedDataResult).cachedData;
        again.release();
        source = undefined;
        if (cache === undefined) return undefined;
        const bytes = new Uint8Array(cache.copy());
        cache.release();
        return bytes;
      },
      async heapBytes() {
        const heap = await isolate.getHeapStatistics();
        return heap.used_heap_size + heap.externally_allocated_size;
      },
      heapBytesNow() {
        const heap = isolate.getHeapStatisticsSync();
        return heap.used_heap_size + heap.externally_allocated_size;
      },
      busyMs: () => Number(isolate.wallTime) / 1e6,
      dispose() {
        try {
          isolate.dispose();
        } catch {
          // It ended by itself before.
        }
      },
    };
  }

  return { create };
}

interface Prepared {
  context: ivm.Context;
  enter: ivm.Reference<Entries["enter"]>;
  drain: ivm.Reference<Entries["drain"]>;
}

const origin = { filename: "backplane:prelude" };

function evaluatePrelude(
  isolate: ivm.Isolate,
  prelude: string,
  cachedData: ivm.ExternalCopy<ArrayBuffer> | undefined,
): Prepared {
  const context = isolate.createContextSync();
  context.global.setSync(seedName, randomBytes(48).toString("base64"));
  const script = isolate.compileScriptSync(prelude, cachedData === undefined ? origin : { ...origin, cachedData });
  const entries = script.runSync(context, { reference: true }) as unknown as ivm.Reference<Entries>;
  const enter = entries.getSync("enter", { reference: true }) as unknown as Prepared["enter"];
  const drain = entries.getSync("drain", { reference: true }) as unknown as Prepared["drain"];
  entries.release();
  script.release();
  return { context, enter, drain };
}

/** Code cache of the prelude, made in an isolate of its own that has used it and never sees a plugin. */
function makePreludeCache(native: IsolatedVm, prelude: string): ivm.ExternalCopy<ArrayBuffer> {
  const isolate = new native.Isolate({ memoryLimit: 64 });
  const { context, enter, drain } = evaluatePrelude(isolate, prelude, undefined);
  warmUp(
    (code) => void context.evalSync(`${code};0`),
    (batch) => {
      try {
        enter.applySync(undefined, batch as never);
      } catch (error) {
        if (error !== 0) throw error;
      }
      return drain.applySync(undefined, []) as string;
    },
  );
  // A second compilation hands back the functions that were used, so the cache holds those too.
  const again = isolate.compileScriptSync(prelude, { ...origin, produceCachedData: true });
  const cache = (again as ivm.Script & ivm.CachedDataResult).cachedData!;
  isolate.dispose();
  return cache;
}

/** Sources larger than this are compiled on the thread pool even with a cache. */
const compileHereUpTo = 200_000;

/** The prelude takes it from the global scope at once: an isolate has no randomness of its own. */
const seedName = "__backplaneSeed";

interface Entries {
  enter(...batch: (number | string)[]): void;
  drain(): string;
}
