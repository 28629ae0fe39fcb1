// Eight loops at once in one installation.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      await ctx.data.query("thing", {});
      for (;;) {}
    },
  },
};
