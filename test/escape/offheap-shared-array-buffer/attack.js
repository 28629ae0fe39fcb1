// Growable shared array buffers.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      if (typeof SharedArrayBuffer === "undefined") return { breach: null };
      const hoard = []; let got = 0;
      for (let i = 0; i < 64; i += 1) { const b = new SharedArrayBuffer(8, { maxByteLength: 64 << 20 }); b.grow(64 << 20); new Uint8Array(b).fill(1); got += b.byteLength; hoard.push(b); }
      return { breach: `${got} bytes of shared memory` };
    },
  },
};
