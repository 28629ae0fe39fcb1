// Keeps calling abilities after it was cancelled.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) { await ctx.data.getById("thing", "1").catch(() => {}); await new Promise((done) => setTimeout(done, 1)); }
    },
  },
};
