// toJSON in the result that loops.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { toJSON() { for (;;) {} } };
    },
  },
};
