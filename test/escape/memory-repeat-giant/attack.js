// Longest possible strings by repeat, kept.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (let i = 0; i < 64; i += 1) { const s = "é\u0416".repeat(2 ** 26 + i); hoard.push(s); s.indexOf("z"); }
      return { breach: null, n: hoard.length };
    },
  },
};
