// arguments.callee.caller and function.caller up into the bridge.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      const climb = Function("found", "depth", `
        let f = arguments.callee, steps = 0;
        try { while (f && steps < 50) { steps += 1; f = f.caller; if (f && !String(f).includes("climb") ) { found.push(String(f).slice(0, 120)); const a = f.arguments; if (a && a.length) found.push("arguments of a caller: " + typeof a[0]); } } } catch (error) {}
      `);
      climb(found);
      JSON.stringify({ toJSON() { climb(found); } });
      await new Promise((done) => setTimeout(Function("climb", "found", "done", "return function () { climb(found); done(); }")(climb, found, done), 1));
      const sloppyThen = Function("climb", "found", "return function (v) { climb(found); return v; }")(climb, found);
      await ctx.data.getById("thing", "1").then(sloppyThen);
      const bad = found.filter((text) => !text.includes("function (v)") && !text.includes("function ()") && !text.includes("anonymous("));
      return { breach: bad.length > 0 ? bad.slice(0, 4).join("; ") : null };
    },
  },
};
