// A handler path through __proto__.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null };
    },
  },
};
