// A BigInt, which JSON refuses.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { n: 1n };
    },
  },
};
