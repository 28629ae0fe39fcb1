// A WeakMap whose keys are all kept.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const map = new WeakMap(); const keys = [];
      for (;;) { const key = {}; keys.push(key); map.set(key, { key, pad: [1, 2, 3, 4, 5] }); }
    },
  },
};
