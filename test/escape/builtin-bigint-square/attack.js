// Squaring a BigInt until it no longer fits.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let n = 3n;
      for (;;) n = n * n;
    },
  },
};
