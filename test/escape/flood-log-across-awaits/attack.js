// Log lines in many small portions, so that no single entry is large.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 300; i += 1) { for (let j = 0; j < 50; j += 1) ctx.logger.info(`line ${i} ${j} ${"x".repeat(200)}`); await ctx.data.getById("thing", "1"); }
      return { breach: null };
    },
  },
};
