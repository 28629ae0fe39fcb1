// Many large BigInts, kept.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (let i = 0n; ; i += 1n) hoard.push((1n << 800_000n) + i);
    },
  },
};
