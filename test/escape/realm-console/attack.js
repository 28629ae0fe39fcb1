// The console and what hangs on it.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = []; const c = globalThis.console;
      if (c) { for (const key of Reflect.ownKeys(c)) { const value = c[key]; if (typeof value === "object" && value !== null) found.push(`console.${String(key)}: ${Reflect.ownKeys(value).map(String).slice(0, 5)}`); } if (c.constructor?.constructor !== Function) found.push("console of another realm"); try { c._stdout?.write("x"); if (c._stdout) found.push("console._stdout"); } catch {} }
      return { breach: found.length > 0 ? found.join("; ") : null };
    },
  },
};
