// Parameters with __proto__ and constructor keys.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: ({}).polluted || params.polluted || params.nested.polluted || Object.getPrototypeOf(params) !== Object.prototype ? "parameters pollute" : null };
    },
  },
};
