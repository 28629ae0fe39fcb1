// An abort listener that loops when the call is cancelled.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      ctx.execution.signal.addEventListener("abort", () => { for (;;) {} });
      await new Promise(() => {});
    },
  },
};
