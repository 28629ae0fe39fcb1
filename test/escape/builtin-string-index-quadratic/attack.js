// A quadratic native string search.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hay = `${"a".repeat(8_000_000)}`;
      const needle = `${"a".repeat(4_000_000)}b`;
      for (;;) { hay.lastIndexOf(needle); hay.indexOf(`${"a".repeat(200)}b`); }
    },
  },
};
