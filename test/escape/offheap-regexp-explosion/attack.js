// Regular expressions whose compiled form explodes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 1; i < 400; i += 1) { try { new RegExp(`(?:(?:[^\\d\\W]{0,${i * 9}}x){0,${i * 7}}|\\p{L}{${i},999}){0,99}`, "iu").test("é".repeat(50)); } catch (error) { if (!(error instanceof SyntaxError)) throw error; } }
      return { breach: null };
    },
  },
};
