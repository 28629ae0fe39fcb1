// Millions of small typed arrays.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (;;) hoard.push(new Uint8Array(64));
    },
  },
};
