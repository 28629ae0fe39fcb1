// A loop inside a timer callback.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      setTimeout(() => { for (;;) {} }, 10);
      await new Promise(() => {});
    },
  },
};
