// An ability that refuses at once, unheard.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 20; i += 1) ctx.data.getById("refuse", "1");
      await new Promise((done) => setTimeout(done, 60));
      return { breach: null };
    },
  },
};
