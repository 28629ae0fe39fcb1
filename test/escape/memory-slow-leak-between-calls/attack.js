// A leak that grows by a few megabytes each call.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      globalThis.hoard ??= [];
      for (let i = 0; i < 16; i += 1) globalThis.hoard.push(new Array(65_536).fill(i + Math.random()));
      return { breach: null, kept: globalThis.hoard.length };
    },
  },
};
