// An unhandled rejection with a proxy whose every trap loops.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const loop = () => { for (;;) {} };
      Promise.reject(new Proxy(() => {}, { get: loop, has: loop, getPrototypeOf: loop, ownKeys: loop, apply: loop, getOwnPropertyDescriptor: loop }));
      return { breach: null };
    },
  },
};
