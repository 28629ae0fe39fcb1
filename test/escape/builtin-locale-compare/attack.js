// Comparing endless strings by locale.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const a = "a\u0301".repeat(3_000_000);
      const collator = new Intl.Collator("sv");
      for (;;) collator.compare(a, `${a}b`);
    },
  },
};
