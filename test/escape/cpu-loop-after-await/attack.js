// A loop that begins after an awaited ability call.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      await ctx.data.query("thing", {});
      for (;;) {}
    },
  },
};
