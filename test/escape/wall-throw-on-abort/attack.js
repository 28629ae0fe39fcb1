// Abort listeners that throw, reject and abort again.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 50; i += 1) {
        ctx.execution.signal.addEventListener("abort", () => { Promise.reject({ get message() { for (;;) {} } }); throw new Error("again"); });
      }
      await new Promise(() => {});
    },
  },
};
