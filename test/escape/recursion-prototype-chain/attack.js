// A prototype chain of a hundred thousand objects in parameters, config and result.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let o = {}; for (let i = 0; i < 100_000; i += 1) o = Object.create(o);
      try { await ctx.data.query("thing", o); } catch {}
      return { breach: null, o };
    },
  },
};
