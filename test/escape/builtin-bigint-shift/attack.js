// Huge BigInt shifts and powers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const huge = 1n << 29_000_000n;
      for (;;) (huge * huge) >> 3n;
    },
  },
};
