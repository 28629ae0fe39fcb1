// Closures that keep each other alive.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let keep = null;
      for (;;) { const before = keep; const pad = new Array(64).fill(0); keep = () => [before, pad]; }
    },
  },
};
