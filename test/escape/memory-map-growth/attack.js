// A Map that grows past what its table can hold.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const map = new Map();
      for (let i = 0; ; i += 1) map.set(i, i);
    },
  },
};
