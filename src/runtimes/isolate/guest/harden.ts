/**
 * Takes away what lets a guest use memory outside its heap limit, block a thread, or run code outside an entry. Runs
 * before the web APIs and before any plugin code. What stays is proved by the attacks in test/escape.
 */

const intlLive = 2_000;

export function harden(global: Record<string, unknown>): void {
  const { defineProperty, getOwnPropertyNames, getOwnPropertyDescriptor } = Object;
  const construct = Reflect.construct;
  const nativeApply = Reflect.apply;

  // Shared memory outlives the limit and `Atomics.wait` parks a thread; wasm memory is not counted at all.
  for (const name of ["SharedArrayBuffer", "Atomics", "WebAssembly"]) delete global[name];

  // Resizable buffers reserve outside the counted allocator.
  const NativeBuffer = ArrayBuffer;
  const bufferPrototype = NativeBuffer.prototype as unknown as Record<string, unknown>;
  for (const name of ["resize", "resizable", "maxByteLength", "transfer", "transferToFixedLength"]) {
    delete bufferPrototype[name];
  }
  replaceConstructor(global, "ArrayBuffer", NativeBuffer, (args, target, self) =>
    construct(NativeBuffer, args.length > 0 ? [args[0]] : [], target === self ? NativeBuffer : target),
  );

  // Cleanup callbacks would run in whatever entry comes next. A registry that never calls back is within the standard.
  const CleanupRegistry = global["FinalizationRegistry"] as new (
    callback: (held: unknown) => void,
  ) => { register(target: object, held: unknown): void };
  class InertRegistry {
    constructor(callback: unknown) {
      if (typeof callback !== "function") throw new TypeError("FinalizationRegistry: cleanup must be callable");
    }
    register(): void {}
    unregister(): boolean {
      return false;
    }
  }
  defineProperty(InertRegistry, "name", { value: "FinalizationRegistry" });
  defineProperty(global, "FinalizationRegistry", { value: InertRegistry, writable: true, configurable: true });

  // ICU objects live outside the heap: only so many at once.
  let live = 0;
  const collected = new CleanupRegistry(() => {
    live -= 1;
  });
  const register = collected.register;
  const intl = global["Intl"] as Record<string, unknown>;
  for (const name of getOwnPropertyNames(intl)) {
    const native = intl[name];
    if (typeof native !== "function" || !("prototype" in native)) continue;
    const Native = native as unknown as new (...args: unknown[]) => object;
    const count = <T>(make: () => T): T => {
      if (live >= intlLive) throw new RangeError(`no more than ${intlLive} Intl objects at once`);
      const made = make();
      if (typeof made === "object" && made !== null) {
        live += 1;
        nativeApply(register, collected, [made, undefined]);
      }
      return made;
    };
    replaceConstructor(
      intl,
      name,
      Native,
      (args, target, self) => count(() => construct(Native, args, target === self ? Native : target)),
      (args, self) => count(() => nativeApply(Native as unknown as () => unknown, self, args)),
    );
  }

  /** Puts a function of the same face in front of a constructor, everywhere a guest could find the old one. */
  function replaceConstructor(
    holder: Record<string, unknown>,
    name: string,
    native: new (...args: never[]) => object,
    make: (args: unknown[], target: never, self: unknown) => unknown,
    call?: (args: unknown[], self: unknown) => unknown,
  ): void {
    const wrapped = function (this: unknown, ...args: unknown[]): unknown {
      if (new.target !== undefined) return make(args, new.target as never, wrapped);
      if (call !== undefined) return call(args, this);
      throw new TypeError(`Constructor ${name} requires 'new'`);
    };
    for (const key of Reflect.ownKeys(native)) {
      if (key === "prototype" || key === "length" || key === "name") continue;
      defineProperty(wrapped, key, getOwnPropertyDescriptor(native, key) as PropertyDescriptor);
    }
    defineProperty(wrapped, "name", { value: name, configurable: true });
    defineProperty(wrapped, "length", { value: native.length, configurable: true });
    defineProperty(wrapped, "prototype", { value: native.prototype, writable: false });
    defineProperty(native.prototype, "constructor", { value: wrapped, writable: true, configurable: true });
    defineProperty(holder, name, { value: wrapped, writable: true, enumerable: false, configurable: true });
  }
}
