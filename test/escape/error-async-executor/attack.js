// Promise executors that throw hostile values at once and later.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      new Promise(() => { throw { get message() { for (;;) {} } }; }).catch(() => {});
      new Promise((_, fail) => setTimeout(() => fail({ then() { for (;;) {} } }), 1)).catch(() => {});
      await new Promise((done) => setTimeout(done, 30));
      return { breach: null };
    },
  },
};
