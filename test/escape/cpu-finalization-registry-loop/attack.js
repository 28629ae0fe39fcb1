// A FinalizationRegistry callback that loops on some later entry.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const registry = new FinalizationRegistry(() => { for (;;) {} });
      for (let i = 0; i < 2000; i += 1) registry.register({ i, pad: new Array(50).fill(i) }, i);
      globalThis.keepRegistry = registry;
      for (let i = 0; i < 50; i += 1) { new Array(5000).fill(i); await new Promise((done) => setTimeout(done, 2)); }
      return { breach: null };
    },
  },
};
