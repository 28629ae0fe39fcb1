// Names on globalThis beyond the language and the documented web names.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const language = "Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError DisposableStack AsyncDisposableStack globalThis JSON Math Intl ArrayBuffer Atomics SharedArrayBuffer Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array Float16Array Float32Array Float64Array Uint8ClampedArray BigUint64Array BigInt64Array DataView Map BigInt Set Iterator WeakMap WeakSet WeakRef Proxy Reflect FinalizationRegistry decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval isFinite isNaN console WebAssembly Temporal ".split(" ");
      const web = "URL URLSearchParams TextEncoder TextDecoder crypto Crypto CryptoKey SubtleCrypto AbortController AbortSignal structuredClone setTimeout clearTimeout setInterval clearInterval queueMicrotask Event EventTarget CustomEvent DOMException atob btoa Headers Request Response Blob File FormData performance self global navigator reportError ReadableStream WritableStream TransformStream".split(" ");
      const allowed = new Set([...language, ...web, "__backplanePlugin"]);
      const extra = Reflect.ownKeys(globalThis).filter((key) => typeof key === "symbol" || !allowed.has(key)).map(String);
      return { breach: extra.length > 0 ? `unexpected: ${extra.join(", ")}` : null };
    },
  },
};
