// Many interleaved ability calls over many calls at once, each checked against its answer.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const mine = `${params.nonce}-${ctx.execution.id}`;
      const rows = await Promise.all(Array.from({ length: 20 }, (_, i) => ctx.data.getById("thing", `${mine}-${i}`).catch((error) => ({ refused: error.code }))));
      const wrong = rows.filter((row, i) => !row.refused && row.id !== `${mine}-${i}`);
      return { breach: wrong.length > 0 ? `answers mixed up: ${JSON.stringify(wrong[0])}` : null };
    },
  },
};
