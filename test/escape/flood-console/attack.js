// console used as a way out and as a flood.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 200_000; i += 1) globalThis.console?.log?.("x".repeat(100), i);
      return { breach: null };
    },
  },
};
