// Suspended generators and async functions, kept.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      function* g() { const pad = new Array(100).fill(1); yield pad; yield pad; }
      for (;;) { const it = g(); it.next(); hoard.push(it); }
    },
  },
};
