// A loop two ability calls and one timer later.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      await ctx.data.query("thing", {});
      await new Promise((done) => setTimeout(done, 20));
      await ctx.data.query("thing", {});
      for (;;) {}
    },
  },
};
