// An array nested as deep as the guest can still write it, for parsers further out.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let node = 1;
      for (let i = 0; i < 4_000; i += 1) node = [node];
      return { breach: null, node };
    },
  },
};
