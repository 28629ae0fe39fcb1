// Waiting for an ability that never answers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return await ctx.data.getById("hang", "1");
    },
  },
};
