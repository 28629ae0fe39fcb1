// An object nested a hundred thousand levels deep.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let node = {};
      for (let i = 0; i < 100_000; i += 1) node = { node };
      return node;
    },
  },
};
