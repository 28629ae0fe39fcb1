// Doubling an array by concat.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let list = [1, 2, 3];
      for (;;) list = list.concat(list);
    },
  },
};
