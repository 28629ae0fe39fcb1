// Ability functions called with a borrowed receiver, as constructors and through Reflect.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = []; const fn = ctx.data.getById;
      for (const receiver of [{ ability: "http.fetch", name: "http.fetch" }, { constructor: { name: "http" } }, null, globalThis, new Proxy({}, { get: () => "storage.put" })]) { try { await fn.call(receiver, "thing", "1"); } catch {} }
      try { const made = new fn("thing", "1"); found.push(typeof made === "object" && made?.then === undefined ? "an ability is a constructor" : null); } catch {}
      try { await Reflect.apply(fn, undefined, { length: 2, 0: "thing", 1: "1", ability: "http.fetch" }); } catch {}
      return { breach: found.filter(Boolean)[0] ?? null };
    },
  },
};
