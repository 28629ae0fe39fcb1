// structuredClone of hostile values, transfers and errors.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      if (typeof structuredClone === "function") {
        for (const make of [() => globalThis, () => ctx, () => new Proxy({}, {}), () => ({ get a() { return Function; } }), () => Object.assign(new Error("e"), { stack: "forged" }), () => new Map([[{}, new Set([1])]]), () => { const a = []; a[1e6] = a; return a; }, () => Object.create({ inherited: 1 }), () => JSON.parse('{"__proto__":{"polluted":1}}')]) {
          try { const copy = structuredClone(make()); if (copy && copy.constructor && copy.constructor.constructor !== Function) found.push("a clone of another realm"); } catch {}
        }
        const buffer = new Uint8Array(8).buffer; try { structuredClone(buffer, { transfer: [buffer, buffer] }); } catch {}
      }
      return { breach: ({}).polluted ? "structuredClone pollutes" : found[0] ?? null };
    },
  },
};
