// Ignores the abort signal of a cancelled call.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      await new Promise(() => {});
    },
  },
};
