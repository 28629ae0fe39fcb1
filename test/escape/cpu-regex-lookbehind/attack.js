// Catastrophic backtracking in a nested lookbehind.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, hit: /(?<=^(\w+\s?)*)$/.test(`${"word ".repeat(40)}!`) || /^(\w+\s?)*$/.test(`${"w".repeat(60)}!`) };
    },
  },
};
