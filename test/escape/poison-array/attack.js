// Array methods and iterators replaced.
let poisoned = false;
const poison = () => {
  poisoned = true;
  for (const name of ["push", "pop", "shift", "unshift", "splice", "slice", "map", "forEach", "filter", "join", "concat", "indexOf", "includes", "reduce", "some", "every", "find"]) Array.prototype[name] = () => { throw new Error(`poisoned ${name}`); };
  Array.prototype[Symbol.iterator] = () => { throw new Error("poisoned iterator"); };
  Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator] ? new Map().entries() : {})).next = undefined;
  Array.isArray = () => false; Array.from = () => [];
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
