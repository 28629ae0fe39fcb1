// EventTarget and AbortSignal methods replaced so that a cancel is never heard.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (const type of [globalThis.EventTarget, globalThis.AbortSignal, globalThis.AbortController, globalThis.Event]) { if (!type) continue; for (const name of Object.getOwnPropertyNames(type.prototype)) { try { Object.defineProperty(type.prototype, name, { configurable: true, value() { for (;;) {} } }); } catch {} } }
      globalThis.AbortController = globalThis.AbortSignal = class { constructor() { for (;;) {} } };
      await new Promise(() => {});
    },
  },
};
