// Handles left under registered symbols, on well-known objects, by the bridge.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      for (const target of [globalThis, Object.prototype, Function.prototype, Array.prototype, Promise.prototype, Error.prototype, Error]) for (const symbol of Object.getOwnPropertySymbols(target)) if (Symbol.keyFor(symbol) !== undefined || !Object.values(Object.getOwnPropertyDescriptors(Symbol)).some((d) => d.value === symbol)) found.push(String(symbol));
      return { breach: found.length > 0 ? found.join(", ") : null };
    },
  },
};
