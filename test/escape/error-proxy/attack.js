// A thrown proxy whose every trap loops.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const loop = () => { for (;;) {} };
      throw new Proxy(new Error("x"), { get: loop, has: loop, getPrototypeOf: loop, getOwnPropertyDescriptor: loop, ownKeys: loop });
    },
  },
};
