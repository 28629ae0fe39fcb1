// A getter in the result that loops.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { get a() { for (;;) {} } };
    },
  },
};
