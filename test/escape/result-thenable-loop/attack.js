// A thenable whose then loops.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { then() { for (;;) {} } };
    },
  },
};
