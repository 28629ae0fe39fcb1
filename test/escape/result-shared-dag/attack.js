// A small graph of shared parts that is endless as JSON.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let node = ["leaf leaf leaf leaf"];
      for (let i = 0; i < 60; i += 1) node = [node, node];
      return node;
    },
  },
};
