// An empty endless loop.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) {}
    },
  },
};
