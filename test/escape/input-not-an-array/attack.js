// Arguments that are no array.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null };
    },
  },
};
