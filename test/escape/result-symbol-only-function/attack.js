// A bare function as the result.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return () => globalThis;
    },
  },
};
