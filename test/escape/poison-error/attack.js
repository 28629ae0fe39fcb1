// Error, its prototype and captureStackTrace replaced.
let poisoned = false;
const poison = () => {
  poisoned = true;
  Error.captureStackTrace = () => { throw new Error("poisoned"); };
  Object.defineProperty(Error.prototype, "message", { configurable: true, get() { for (;;) {} } });
  globalThis.Error = globalThis.TypeError = globalThis.RangeError = class { constructor() { throw 1; } };
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
