// JSON nested a million levels deep.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, value: typeof JSON.parse("[".repeat(1_000_000) + "]".repeat(1_000_000)) };
    },
  },
};
