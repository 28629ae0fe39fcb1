// Map, Set and WeakMap prototypes replaced.
let poisoned = false;
const poison = () => {
  poisoned = true;
  for (const type of [Map, Set, WeakMap, WeakSet]) for (const name of ["get", "set", "has", "delete", "add", "forEach", "clear", "values", "keys", "entries"]) if (name in type.prototype) type.prototype[name] = () => { throw new Error("poisoned"); };
  Object.defineProperty(Map.prototype, "size", { get() { return 0; } });
  globalThis.Map = globalThis.Set = class { constructor() { throw new Error("poisoned"); } };
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
