// arguments.callee.caller and function.caller up into the bridge.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      // The bundle is a sloppy script: what follows has `arguments.callee` and `caller`.
      function climb() {
        let f = climb; let steps = 0;
        try { while (f && steps < 50) { steps += 1; f = f.caller; if (f && !own.has(f)) { found.push(String(f).slice(0, 120)); const given = f.arguments; if (given?.length) found.push(`arguments of a caller: ${typeof given[0]}`); } } } catch {}
        try { f = arguments.callee.caller; if (f && !own.has(f)) found.push(String(f).slice(0, 120)); } catch {}
      }
      const own = new Set([climb]);
      const plain = (run) => { const f = function () { climb(); return run?.(); }; own.add(f); return f; };
      plain()();
      JSON.stringify({ toJSON: plain() });
      await new Promise((done) => setTimeout(plain(done), 1));
      await ctx.data.getById("thing", "1").then(plain());
      ctx.logger.info("x", { toJSON: plain() });
      try { await ctx.data.getById("thing", { toJSON: plain() }); } catch {}
      queueMicrotask(plain()); await 0;
      const bad = found.filter((text) => !text.includes("attack(params, ctx)") && !text.startsWith("arguments of"));
      return { breach: bad.length > 0 ? bad.slice(0, 4).join("; ") : null };
    },
  },
};
