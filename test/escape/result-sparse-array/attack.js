// A sparse array with a length of 2^32-1.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const sparse = []; sparse[2 ** 32 - 2] = 1;
      return sparse;
    },
  },
};
