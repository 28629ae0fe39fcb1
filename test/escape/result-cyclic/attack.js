// A cyclic result.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const node = {}; node.self = node;
      return node;
    },
  },
};
