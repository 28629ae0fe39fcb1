// A then on Object.prototype, which turns every object into a thenable.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Object.defineProperty(Object.prototype, "then", { configurable: true, value(done) { globalThis.caught ??= []; globalThis.caught.push(Object.keys(this)); delete Object.prototype.then; done(this); } });
      const row = await ctx.data.getById("thing", "1");
      await 0;
      const foreign = (globalThis.caught ?? []).flat().filter((key) => !["id", "echo", "args"].includes(key));
      return { breach: foreign.length > 0 ? `saw internals: ${foreign.join(",")}` : null, row };
    },
  },
};
