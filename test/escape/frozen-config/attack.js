// Changing the configuration for later calls.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const before = JSON.stringify(ctx.config);
      try { ctx.config.greeting = "changed"; } catch {}
      try { ctx.config.nested.list.push("changed"); } catch {}
      try { Object.defineProperty(ctx.config, "greeting", { value: "changed" }); } catch {}
      try { Object.setPrototypeOf(ctx.config, { polluted: true }); } catch {}
      try { delete ctx.config.greeting; } catch {}
      const fresh = ctx.config.greeting;
      return { breach: before.includes("changed") || fresh === "changed" || JSON.stringify(ctx.config) !== before ? `config changed: ${JSON.stringify(ctx.config)}` : null };
    },
  },
};
