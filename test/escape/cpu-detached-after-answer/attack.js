// A continuation that starts to loop after the call has answered.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      setTimeout(() => { for (;;) {} }, 50);
      Promise.resolve().then(() => ctx.data.query("thing", {})).then(() => { for (;;) {} });
      return { breach: null };
    },
  },
};
