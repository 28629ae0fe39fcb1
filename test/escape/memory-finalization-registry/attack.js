// A FinalizationRegistry with ever more cells.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const registry = new FinalizationRegistry(() => {}); const keep = [];
      for (let i = 0; ; i += 1) { const o = {}; keep.push(o); registry.register(o, { i }, o); }
    },
  },
};
