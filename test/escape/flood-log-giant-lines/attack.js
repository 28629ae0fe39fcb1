// Log lines of megabytes each.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 200; i += 1) ctx.logger.info("x".repeat(1 << 20), { pad: "y".repeat(1 << 19) });
      return { breach: null };
    },
  },
};
