// prepareStackTrace and the functions and receivers of every call site.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const mine = new Set(); const found = []; let frames = 0;
      const look = (_, sites) => {
        for (const site of sites) {
          frames += 1;
          // What the plugin itself wrote is no secret of the bridge.
          if (String(site.getFileName?.()).startsWith("plugin://")) continue;
          for (const name of ["getThis", "getFunction"]) { let value; try { value = site[name]?.(); } catch { continue; } if (value !== undefined && value !== null && value !== globalThis && !mine.has(value)) found.push(`${name}: ${typeof value} ${String(value).slice(0, 80)}`); }
          const file = `${site.getFileName?.() ?? ""} ${site.getScriptNameOrSourceURL?.() ?? ""} ${site.getEvalOrigin?.() ?? ""}`;
          if (/node:|file:|[/](work|usr|home|root|tmp|opt)[/]|isolated.vm|runner[.]/.test(file)) found.push(`file ${file}`);
          if (site.constructor?.constructor && site.constructor.constructor !== Function) found.push("call site of another realm");
        }
        return "seen";
      };
      Error.prepareStackTrace = look;
      Error.stackTraceLimit = 200;
      const spy = function () { mine.add(spy); return new Error("x").stack; };
      spy();
      new Promise(() => spy()); await 0; spy();
      await ctx.data.getById("thing", "1"); spy();
      await new Promise((done) => setTimeout(() => { spy(); done(); }, 1));
      JSON.stringify({ toJSON: spy }); ctx.logger.info("x", { toJSON: spy });
      try { await ctx.data.getById("thing", { toJSON: spy }); } catch {}
      ctx.execution.signal?.addEventListener?.("abort", spy);
      Error.prepareStackTrace = undefined;
      return { breach: found.length > 0 ? found.slice(0, 6).join("; ") : null, frames };
    },
  },
};
