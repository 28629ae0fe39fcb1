// Timers with delays and ids that are no numbers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (const delay of [Number.NaN, -1, Infinity, 2 ** 31, 2 ** 53, "5", null, {}, [], Symbol.iterator, 1n, { valueOf() { throw 1; } }]) { try { setTimeout(() => {}, delay); } catch {} }
      for (const id of [Number.NaN, -1, Infinity, "x", null, {}, undefined, { [Symbol.toPrimitive]() { throw 2; } }]) { try { clearTimeout(id); clearInterval(id); } catch {} }
      for (const callback of ["globalThis.evil = 1", null, {}, 5]) { try { setTimeout(callback, 0); } catch {} }
      await new Promise((done) => setTimeout(done, 20));
      return { breach: globalThis.evil ? "a timer compiled text" : null };
    },
  },
};
