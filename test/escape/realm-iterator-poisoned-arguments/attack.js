// Arguments with hostile iterators, lengths and conversions handed to every ability.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hostile = [
        new Proxy([], { get(t, k) { return k === "length" ? 1e9 : Reflect.get(t, k); } }), { [Symbol.iterator]() { return { next() { return { done: false, value: 1 }; } }; }, length: -1 },
        Object.setPrototypeOf([1, 2], null), Object.create(null), new (class extends Array { get length() { return 5; } })(), { valueOf() { throw 1; }, toString() { throw 2; } }, document_all(), globalThis, ctx,
      ];
      function document_all() { return Object.assign(() => {}, { length: 3 }); }
      for (const value of hostile) for (const call of [() => ctx.data.getById(value, value), () => ctx.data.query("thing", value), () => ctx.emitEvent(value, value), () => ctx.logger.info(value, value), () => ctx.execution.progress(value)]) { try { await Promise.race([call(), new Promise((done) => setTimeout(done, 5))]); } catch {} }
      return { breach: null };
    },
  },
};
