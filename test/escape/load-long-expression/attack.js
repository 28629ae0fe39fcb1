// A bundle with an expression of a million and a half operands.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null };
    },
  },
};
