// Answers after it was cancelled.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      await new Promise((done) => ctx.execution.signal.addEventListener("abort", () => setTimeout(done, 100)));
      return { breach: "answer after cancel was taken" };
    },
  },
};
