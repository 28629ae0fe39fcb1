// A result string far beyond the message limit.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return "x".repeat(20_000_000);
    },
  },
};
