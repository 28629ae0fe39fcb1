// Arguments that are no JSON.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: "arguments that are no JSON were taken" };
    },
  },
};
