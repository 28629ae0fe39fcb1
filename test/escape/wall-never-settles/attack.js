// A promise that never settles.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      await new Promise(() => {});
    },
  },
};
