// Native functions reachable from ctx or custom globals that are no intrinsics of the language.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const language = "Object Function Array Number parseFloat parseInt Boolean String Symbol Date Promise RegExp Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError DisposableStack AsyncDisposableStack JSON Math Intl ArrayBuffer Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array Float16Array Float32Array Float64Array Uint8ClampedArray BigUint64Array BigInt64Array DataView Map BigInt Set Iterator WeakMap WeakSet WeakRef Proxy Reflect FinalizationRegistry decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval isFinite isNaN console Temporal".split(" ");
      const text = Function.prototype.toString; const intrinsics = new Set();
      const walk = (value, seen, visit, path) => {
        if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return;
        seen.add(value); visit(value, path);
        for (const key of Reflect.ownKeys(value)) { let d; try { d = Object.getOwnPropertyDescriptor(value, key); } catch { continue; } if (d) for (const part of [d.value, d.get, d.set]) walk(part, seen, visit, `${path}.${String(key)}`); }
        walk(Object.getPrototypeOf(value), seen, visit, `${path}.__proto__`);
      };
      for (const name of language) walk(globalThis[name], intrinsics, () => {}, name);
      for (const sample of [function* () {}, async () => {}, async function* () {}, (function* () {})(), (async function* () {})(), new Map().keys(), new Set().keys(), [].keys(), ""[Symbol.iterator](), "".matchAll(/x/g), (function () { return arguments; })()]) walk(sample, intrinsics, () => {}, "sample");
      const foreign = [];
      const visit = (value, path) => { if (typeof value === "function" && text.call(value).includes("[native code]") && !value.name.startsWith("bound ") && !text.call(value).includes("class")) foreign.push(`${path} (${value.name})`); };
      const seen = new Set([...intrinsics, globalThis]);
      walk(ctx, seen, visit, "ctx");
      for (const key of Reflect.ownKeys(globalThis)) if (!language.includes(key)) walk(Object.getOwnPropertyDescriptor(globalThis, key).value, seen, visit, `globalThis.${String(key)}`);
      return { breach: foreign.length > 0 ? foreign.slice(0, 8).join("; ") : null };
    },
  },
};
