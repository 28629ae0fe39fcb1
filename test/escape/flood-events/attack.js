// Events without end.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) ctx.emitEvent("flood.drop", { n: 1 });
    },
  },
};
