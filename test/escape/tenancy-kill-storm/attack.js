// Losing its runner again and again.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);
    },
  },
};
