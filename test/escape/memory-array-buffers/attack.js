// Array buffers of one megabyte, kept.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (;;) { const b = new Uint8Array(1 << 20); b.fill(1); hoard.push(b); }
    },
  },
};
