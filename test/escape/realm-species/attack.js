// Symbol.species and subclassed promises handed to the bridge.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const taken = [];
      class Spy extends Promise { constructor(run) { super(run); taken.push("made"); } then(...a) { taken.push(a.map((f) => String(f).slice(0, 40)).join("|")); return super.then(...a); } static get [Symbol.species]() { return Spy; } }
      class Bytes extends Uint8Array { static get [Symbol.species]() { return class { constructor() { return new Proxy(new Uint8Array(4), {}); } }; } }
      try { await ctx.data.getById("thing", Spy.resolve("1")); } catch {}
      try { new TextEncoder().encodeInto("x", new Bytes(8)); new TextDecoder().decode(new Bytes(8)); crypto.getRandomValues(new Bytes(8)); } catch {}
      const foreign = taken.filter((text) => /applySync|ivm|host|runner/.test(text));
      return { breach: foreign.length > 0 ? foreign.join("; ") : null };
    },
  },
};
