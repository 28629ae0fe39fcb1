// Sorting a million values with an inconsistent comparator, over and over.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const values = Array.from({ length: 200_000 }, (_, i) => i);
      for (;;) values.sort(() => Math.random() - 0.5);
    },
  },
};
