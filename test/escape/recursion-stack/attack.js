// Endless recursion.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const dive = () => dive() + 1;
      return dive();
    },
  },
};
