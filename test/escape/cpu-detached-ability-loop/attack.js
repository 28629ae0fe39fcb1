// An ability loop that lives on after its call ended.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      (async () => { for (;;) await ctx.data.getById("thing", "1"); })().catch(() => {});
      return { breach: null };
    },
  },
};
