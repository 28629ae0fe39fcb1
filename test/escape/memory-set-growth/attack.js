// A Set of fresh objects.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const set = new Set();
      for (;;) set.add({});
    },
  },
};
