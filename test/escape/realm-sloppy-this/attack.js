// The receiver with which the bridge calls guest functions.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      const spy = function () { if (this !== globalThis && this !== undefined) found.push(`${Object.prototype.toString.call(this)}:${Reflect.ownKeys(this).map(String).slice(0, 20)}`); return 1; };
      setTimeout(spy, 0); queueMicrotask(spy);
      ctx.execution.signal?.addEventListener?.("abort", spy);
      await ctx.data.getById("thing", "1").then(spy);
      await new Promise((done) => setTimeout(done, 20));
      const bad = found.filter((text) => !/Timeout|AbortSignal|EventTarget/.test(text));
      return { breach: bad.length > 0 ? bad.join("; ") : null };
    },
  },
};
