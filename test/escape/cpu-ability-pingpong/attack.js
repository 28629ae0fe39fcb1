// Endless ability calls one after another, a little CPU each.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) { await ctx.data.getById("thing", "1"); const end = Date.now() + 2; while (Date.now() < end) {} }
    },
  },
};
