// Values that JSON does not have.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, u: undefined, f() {}, s: Symbol("s"), n: Number.NaN, i: Infinity, d: new Date(0), m: new Map([[1, 2]]), r: /x/g, e: new Error("e"), p: Promise.resolve(1), b: new Uint8Array(4), nested: [undefined, () => {}] };
    },
  },
};
