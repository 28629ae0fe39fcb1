// Well-known symbols used against instanceof, iteration and concatenation.
let poisoned = false;
const poison = () => {
  poisoned = true;
  Object.defineProperty(Object.prototype, Symbol.toStringTag, { configurable: true, get() { return "Poisoned"; } });
  Object.defineProperty(Array.prototype, Symbol.isConcatSpreadable, { configurable: true, get() { throw new Error("poisoned"); } });
  Object.defineProperty(Error, Symbol.hasInstance, { configurable: true, value: () => { throw new Error("poisoned"); } });
  globalThis.Symbol = () => { throw new Error("poisoned"); };
};

globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const before = poisoned ? { id: "0" } : await ctx.data.getById("thing", "0");
      if (!poisoned) poison();
      const row = await ctx.data.getById("thing", "1");
      ctx.logger.info("after");
      const right = before.id === "0" && row.id === "1" && row.echo === "thing";
      return { breach: right ? ((globalThis.spied ?? 0) > 0 ? "the bridge's work was seen" : null) : "the bridge gave a wrong answer", nonce: params.nonce };
    },
  },
};
