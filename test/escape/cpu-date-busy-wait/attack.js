// Busy waiting on the clock until after the deadline.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const end = Date.now() + 60_000;
      while (Date.now() < end) {}
      return { breach: "outlived its budget" };
    },
  },
};
