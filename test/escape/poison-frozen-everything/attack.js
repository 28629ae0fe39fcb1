// Every intrinsic frozen, so that a bridge that writes to them fails.
let poisoned = false;
const poison = () => {
  poisoned = true;
  const seen = new Set();
  const freeze = (value) => { if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return; seen.add(value); if (value !== globalThis) { try { Object.freeze(value); } catch {} } for (const key of Reflect.ownKeys(value)) { let d; try { d = Object.getOwnPropertyDescriptor(value, key); } catch { continue; } if (d) { freeze(d.value); freeze(d.get); freeze(d.set); } } };
  for (const key of Reflect.ownKeys(globalThis)) freeze(globalThis[key]);
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
