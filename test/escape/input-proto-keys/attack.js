// Parameters with __proto__ and constructor keys.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const target = {}; Object.assign(target, params, params.nested);
      return { breach: ({}).polluted || Object.getPrototypeOf(params) !== Object.prototype || target.polluted ? "parameters pollute" : null };
    },
  },
};
