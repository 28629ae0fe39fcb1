// Source text of every function on ctx: closures' names give no handle, and no host path.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const texts = []; const seen = new Set();
      const walk = (value) => { if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return; seen.add(value); if (typeof value === "function") texts.push(Function.prototype.toString.call(value)); for (const key of Reflect.ownKeys(value)) { const d = Object.getOwnPropertyDescriptor(value, key); if (d && d.value !== undefined) walk(d.value); } };
      walk(ctx);
      const bad = texts.filter((text) => /[/](work|usr|home|root|tmp|opt)[/]|file:|node:/.test(text));
      return { breach: bad.length > 0 ? bad[0].slice(0, 200) : null, functions: texts.length };
    },
  },
};
