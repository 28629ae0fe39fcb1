// Aborting one's own execution signal and looking for its controller.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const signal = ctx.execution.signal; const found = [];
      try { signal.dispatchEvent(new Event("abort")); } catch {}
      for (const key of Reflect.ownKeys(signal)) { const value = signal[key]; if (value && typeof value === "object" && typeof value.abort === "function") found.push(`controller at ${String(key)}`); }
      try { Object.defineProperty(signal, "aborted", { value: true }); } catch {}
      const row = await ctx.data.getById("thing", "1");
      return { breach: found[0] ?? (row.id === "1" ? null : "abilities stopped") };
    },
  },
};
