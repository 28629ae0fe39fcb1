// An ability's answer with __proto__ and constructor keys.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const answer = await ctx.data.getById("proto", "1");
      const clean = {};
      return { breach: clean.polluted || answer?.polluted || Object.prototype.polluted ? "the answer pollutes" : null };
    },
  },
};
