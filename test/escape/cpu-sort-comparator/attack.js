// A sort comparator that loops.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      [3, 2, 1].sort(() => { for (;;) {} });
    },
  },
};
