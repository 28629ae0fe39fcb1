// Filling a thousand million elements.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      new Array(1e9).fill(0);
    },
  },
};
