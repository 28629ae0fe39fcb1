// Granted abilities called with names of others in every argument.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (const name of ["http.fetch", "__proto__", "constructor", "toString", "storage.put", "plugins.call", "../data.upsert", "data.upsert\u0000", "DATA.UPSERT", "data。upsert"]) {
        try { await ctx.data.query(name, {}); } catch {}
        try { await ctx.data.getById(name, name); } catch {}
        try { await ctx.emitEvent(name, {}); } catch {}
      }
      return { breach: null };
    },
  },
};
