// Log data that is cyclic, throws, loops or is a proxy.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const cyclic = {}; cyclic.self = cyclic;
      for (const data of [cyclic, { get a() { throw 1; } }, new Proxy({}, { ownKeys() { throw 2; } }), Symbol("x"), 1n, () => {}]) { try { ctx.logger.warn("hostile", data); } catch {} }
      ctx.logger.error({ toString() { for (;;) {} } }, { toJSON() { for (;;) {} } });
      return { breach: null };
    },
  },
};
