// Calling abilities with no stack left.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let failures = 0;
      const edge = () => { try { edge(); } catch { failures += 1; if (failures < 2000) { try { ctx.data.getById("thing", "1"); ctx.logger.info("edge"); } catch {} } } };
      edge();
      const answer = await ctx.data.getById("thing", "1");
      return { breach: answer && answer.id === "1" ? null : "the bridge is torn" };
    },
  },
};
