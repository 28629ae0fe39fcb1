// Array.from on the largest length.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Array.from({ length: 2 ** 32 - 1 }, (_, i) => ({ i }));
    },
  },
};
