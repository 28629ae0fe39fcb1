// Ever more compiled regular expressions.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (let i = 0; ; i += 1) { const r = new RegExp(`${"[a-z]{3,9}".repeat(80)}${i}`, "iu"); r.test("a".repeat(300)); hoard.push(r); }
    },
  },
};
