// A result of two hundred thousand small objects.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, rows: Array.from({ length: 200_000 }, (_, i) => ({ i })) };
    },
  },
};
