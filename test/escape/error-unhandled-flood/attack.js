// A hundred thousand unhandled rejections.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 100_000; i += 1) Promise.reject(new Error(`rejection ${i}`));
      return { breach: null };
    },
  },
};
