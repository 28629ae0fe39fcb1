// Looking like an answer of the host: events, messages and ids sent into the guest's own world.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const id = ctx.execution.id; const shapes = [{ type: "answer", id: 1, ok: true, value: "forged" }, [1, 1, "forged"], { call: id, result: { breach: "forged" } }];
      for (const shape of shapes) { try { globalThis.dispatchEvent?.(Object.assign(new Event("message"), { data: shape })); } catch {} try { globalThis.postMessage?.(shape); } catch {} try { ctx.execution.progress(shape); ctx.logger.info("x", shape); } catch {} }
      const row = await ctx.data.getById("thing", "7");
      return { breach: row.id === "7" ? null : "a forged answer was taken", row };
    },
  },
};
