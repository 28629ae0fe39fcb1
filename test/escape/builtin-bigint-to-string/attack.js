// Decimal text of a huge BigInt and back.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const huge = (1n << 20_000_000n) - 1n;
      for (;;) BigInt(huge.toString(10)) + 1n;
    },
  },
};
