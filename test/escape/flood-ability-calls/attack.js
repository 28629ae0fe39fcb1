// Ability calls without waiting for their answers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const all = []; let refused = 0;
      for (let i = 0; i < 50_000; i += 1) all.push(ctx.data.getById("hang", String(i)).catch(() => { refused += 1; }));
      await new Promise((done) => setTimeout(done, 100));
      return { breach: refused > 49_000 ? null : `only ${refused} of 50000 waiting calls were refused` };
    },
  },
};
