// Concurrent calls of one installation with their own execution and signal.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const id = ctx.execution.id;
      for (let i = 0; i < 5; i += 1) { const row = await ctx.data.getById("who", "1"); if (ctx.execution.id !== id || row.execution !== id) return { breach: `call ${id} spoke as ${row.execution}` }; await new Promise((done) => setTimeout(done, 2)); }
      return { breach: null };
    },
  },
};
