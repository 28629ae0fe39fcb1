// Setters on Array.prototype indices, which see what is appended.
let poisoned = false;
const poison = () => {
  poisoned = true;
  globalThis.spied = 0;
  for (let i = 0; i < 4; i += 1) Object.defineProperty(Array.prototype, i, { configurable: true, set(value) { globalThis.spied += 1; Object.defineProperty(this, i, { value, writable: true, enumerable: true, configurable: true }); }, get() { return undefined; } });
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
