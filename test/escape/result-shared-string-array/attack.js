// An array of a million times the same long string.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const one = "x".repeat(100_000);
      return new Array(1_000_000).fill(one);
    },
  },
};
