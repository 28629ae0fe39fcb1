// Sleeping past the deadline in small timers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const end = Date.now() + 30_000;
      while (Date.now() < end) await new Promise((done) => setTimeout(done, 50));
      return { breach: "outlived its deadline" };
    },
  },
};
