// Promise.all over endless async functions.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const forever = async (n) => { await null; return Promise.all([forever(n + 1), forever(n + 2)]); };
      await forever(0);
    },
  },
};
