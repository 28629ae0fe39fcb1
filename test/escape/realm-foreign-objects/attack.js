// Walks the whole graph from globalThis and ctx for objects of another realm or of the engine binding.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const roots = new Map([["globalThis", globalThis], ["ctx", ctx], ["params", params], ["answer", await ctx.data.getById("thing", "1")]]);
      try { await ctx.data.getById("refuse", "1"); } catch (error) { roots.set("refusal", error); }
      const ends = new Set([null, Object.prototype]);
      const handles = ["applySync", "applySyncPromise", "applyIgnored", "derefInto", "copySync", "copyInto", "getSync", "setSync", "setIgnored", "createContext", "createContextSync", "compileScript", "compileScriptSync", "evalClosure", "evalSync", "createInspectorSession", "getHeapStatisticsSync", "transferOut", "transferList"];
      const found = []; const seen = new Set(); const queue = [...roots].map(([path, value]) => [path, value]);
      while (queue.length > 0 && seen.size < 200_000) {
        const [path, value] = queue.shift();
        if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) continue;
        seen.add(value);
        let top = value; let steps = 0;
        try { while (Object.getPrototypeOf(top) !== null && steps < 50) { top = Object.getPrototypeOf(top); steps += 1; } } catch { found.push(`${path}: proxy that refuses`); continue; }
        if (steps > 0 && !ends.has(top)) { const own = Reflect.ownKeys(top); if (own.includes("hasOwnProperty")) found.push(`${path}: Object.prototype of another realm`); }
        const keys = Reflect.ownKeys(value);
        for (const handle of handles) if (keys.includes(handle)) found.push(`${path}.${handle}`);
        let maker; try { maker = value.constructor?.name; } catch {}
        if (["Reference", "Callback", "ExternalCopy", "Isolate", "Context", "Script", "Module", "NativeModule", "InspectorSession", "CpuProfileManager"].includes(maker) && !String(value.constructor).startsWith("class")) found.push(`${path} is a ${maker}`);
        for (const key of keys) {
          let d; try { d = Object.getOwnPropertyDescriptor(value, key); } catch { continue; }
          if (!d) continue;
          for (const [kind, part] of [["", d.value], [" getter", d.get], [" setter", d.set]]) if (part !== undefined) queue.push([`${path}.${String(key)}${kind}`, part]);
        }
        queue.push([`${path}.__proto__`, Object.getPrototypeOf(value)]);
      }
      return { breach: found.length > 0 ? found.slice(0, 8).join("; ") : null, seen: seen.size };
    },
  },
};
