// Reversing a sparse array of the largest length.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const sparse = []; sparse.length = 2 ** 32 - 1;
      sparse.reverse();
    },
  },
};
