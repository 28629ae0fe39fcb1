// Progress reports without end.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) ctx.execution.progress({ done: 1 });
    },
  },
};
