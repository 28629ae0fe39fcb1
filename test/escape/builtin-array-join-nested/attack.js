// Joining a sparse array into the longest string.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const sparse = []; sparse.length = 2 ** 28;
      for (;;) sparse.join("");
    },
  },
};
