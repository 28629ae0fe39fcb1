// A result whose JSON is six times as long as the string.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return "\u0001".repeat(6_000_000);
    },
  },
};
