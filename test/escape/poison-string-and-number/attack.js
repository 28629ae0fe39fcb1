// String, Number, RegExp and Math prototypes replaced.
let poisoned = false;
const poison = () => {
  poisoned = true;
  for (const proto of [String.prototype, Number.prototype, RegExp.prototype]) for (const name of Object.getOwnPropertyNames(proto)) { if (name === "constructor") continue; const d = Object.getOwnPropertyDescriptor(proto, name); if (d && d.configurable && typeof d.value === "function") Object.defineProperty(proto, name, { ...d, value: () => { throw new Error(`poisoned ${name}`); } }); }
  for (const name of ["min", "max", "floor", "random"]) Math[name] = () => { throw new Error(`poisoned ${name}`); };
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
