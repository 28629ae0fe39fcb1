// Ability arguments beyond the message limit.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let taken = 0;
      for (let i = 0; i < 5; i += 1) await ctx.data.getById("thing", "x".repeat(3 << 20)).then(() => { taken += 1; }, () => {});
      return { breach: taken > 0 ? `${taken} messages beyond the limit were taken` : null };
    },
  },
};
