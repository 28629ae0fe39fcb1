// Separators, lengths and frame headers inside every string that crosses.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const nasty = ["\u0000\u0000\u0000\u0010\u0001", "\n\r\n\r\n", "\u001e\u001f\u2028\u2029", "}]}", '"],["data.upsert"', "16:{\"type\":\"exit\"}", "\ufeff", "\ud800", "\uffff".repeat(64), "[[", "\u0000".repeat(1024)];
      for (const text of nasty) { const row = await ctx.data.getById("thing", text).catch(() => null); if (row && text.isWellFormed() && row.id !== text) return { breach: `a string was split: ${escape(text)}` }; ctx.logger.info(text); await ctx.emitEvent(`flood.${text}`, { text }).catch(() => {}); }
      return { breach: null, nasty };
    },
  },
};
