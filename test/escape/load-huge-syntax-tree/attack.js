// A bundle whose syntax tree is many times its five megabytes, outside the heap.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null };
    },
  },
};
