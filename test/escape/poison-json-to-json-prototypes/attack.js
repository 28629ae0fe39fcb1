// toJSON put on Object, Array and String prototypes.
let poisoned = false;
const poison = () => {
  poisoned = true;
  for (const proto of [Array.prototype, String.prototype, Number.prototype, Boolean.prototype]) Object.defineProperty(proto, "toJSON", { configurable: true, value() { return typeof this === "object" && Array.isArray(this) ? [...this] : this.valueOf(); } });
  Object.defineProperty(Function.prototype, "toJSON", { configurable: true, value() { return "function"; } });
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
