// A chain of a hundred thousand proxies and bound functions.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let p = {}; for (let i = 0; i < 100_000; i += 1) p = new Proxy(p, {});
      try { p.x; } catch {}
      let f = () => 1; for (let i = 0; i < 100_000; i += 1) f = f.bind(null);
      try { f(); } catch {}
      let s = ""; for (let i = 0; i < 1_000_000; i += 1) s = `${s}a`;
      return { breach: null, hit: JSON.stringify({ s }).length, chain: Object.keys(p).length };
    },
  },
};
