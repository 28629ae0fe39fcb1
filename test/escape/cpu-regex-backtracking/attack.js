// Catastrophic backtracking.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, hit: /^(a+)+$/.test(`${"a".repeat(60)}!`) };
    },
  },
};
