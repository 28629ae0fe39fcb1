// The global symbol registry, which is never collected.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; ; i += 1) Symbol.for(`symbol ${i}`);
    },
  },
};
