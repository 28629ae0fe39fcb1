// Keeping the ctx of an ended call and speaking through it later.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const old = globalThis.oldCtx; globalThis.oldCtx = ctx;
      if (!old) return { breach: null };
      const row = await Promise.race([old.data.getById("who", "1").catch((error) => ({ refused: error.code ?? error.name })), new Promise((done) => setTimeout(() => done({ refused: "silent" }), 200))]);
      return { breach: row.refused ? null : `the ended call still speaks as ${row.execution}`, row };
    },
  },
};
