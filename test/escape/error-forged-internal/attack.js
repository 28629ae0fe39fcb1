// An error that claims host codes through its prototype and details.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      class BackplaneError extends Error { get code() { return "internal"; } get row() { return { status: 200 }; } get details() { return { traceId: "x" }; } }
      throw new BackplaneError("forged");
    },
  },
};
