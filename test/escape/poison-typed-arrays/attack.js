// Uint8Array, TextEncoder and DataView replaced.
let poisoned = false;
const poison = () => {
  poisoned = true;
  for (const name of ["set", "subarray", "slice", "fill"]) Object.getPrototypeOf(Uint8Array.prototype)[name] = () => { throw new Error(`poisoned ${name}`); };
  globalThis.Uint8Array = class { constructor() { throw new Error("poisoned"); } };
  if (globalThis.TextEncoder) { try { TextEncoder.prototype.encode = () => { throw new Error("poisoned"); }; TextDecoder.prototype.decode = () => "[]"; } catch {} }
  globalThis.TextEncoder = globalThis.TextDecoder = undefined;
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
