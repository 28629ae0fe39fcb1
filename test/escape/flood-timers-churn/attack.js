// Timers set and cleared by the million.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 1_000_000; i += 1) clearTimeout(setTimeout(() => {}, 1));
      return { breach: null };
    },
  },
};
