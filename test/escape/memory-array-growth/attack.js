// An array that grows for ever.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (;;) hoard.push(new Array(1000).fill(hoard.length));
    },
  },
};
