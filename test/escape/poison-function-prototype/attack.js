// call, apply and bind replaced.
let poisoned = false;
const poison = () => {
  poisoned = true;
  Function.prototype.call = () => { throw new Error("poisoned call"); };
  Function.prototype.apply = () => { throw new Error("poisoned apply"); };
  Function.prototype.bind = () => { throw new Error("poisoned bind"); };
  Function.prototype.toString = () => "poisoned";
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
