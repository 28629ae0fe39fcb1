// Many slices that are each far below the budget.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let slices = 0;
      for (;;) {
        const end = Date.now() + 20;
        while (Date.now() < end) {}
        slices += 1;
        if (slices > 60) return { breach: "used over a second of CPU in slices" };
        await ctx.data.getById("thing", "1");
      }
    },
  },
};
