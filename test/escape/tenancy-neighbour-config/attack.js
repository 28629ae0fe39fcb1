// Looking for the neighbour installation's state, config and globals in the same runner.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      const seen = new Set(); const queue = [globalThis, ctx, params];
      while (queue.length > 0 && seen.size < 200_000) { const value = queue.shift(); if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) continue; seen.add(value); for (const key of Reflect.ownKeys(value)) { const d = Object.getOwnPropertyDescriptor(value, key); if (!d) continue; if (typeof d.value === "string" && /canary-|INNOCENT/.test(d.value)) found.push(`${String(key)}=${d.value}`); if (d.value) queue.push(d.value); if (d.get) queue.push(d.get); } const proto = Object.getPrototypeOf(value); if (proto) queue.push(proto); }
      if (globalThis.innocentMark) found.push("the neighbour's global");
      globalThis.attackerMark = "set";
      return { breach: found.length > 0 ? found.slice(0, 3).join("; ") : null };
    },
  },
};
