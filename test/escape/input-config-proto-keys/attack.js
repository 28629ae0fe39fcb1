// Configuration with __proto__, constructor, then and toJSON keys.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: ({}).polluted || ctx.config.polluted || typeof ctx.config.then === "function" ? "config pollutes" : null };
    },
  },
};
