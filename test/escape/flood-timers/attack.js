// A hundred thousand live timers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 100_000; i += 1) setTimeout(() => {}, 60_000);
      return { breach: "100000 live timers" };
    },
  },
};
