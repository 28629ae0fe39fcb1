// Lone surrogates and NUL bytes, which are no UTF-8.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, text: "\ud800\udfff\udc00\u0000\ud83d", ["\udfff"]: "\ud800".repeat(1000) };
    },
  },
};
