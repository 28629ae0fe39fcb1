// Resizable array buffers, which no heap limit sees.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      let got = 0;
      for (let i = 0; i < 64; i += 1) {
        try {
          const b = new ArrayBuffer(8, { maxByteLength: 64 << 20 });
          if (b.resizable === true || typeof b.resize === "function") { b.resize(64 << 20); new Uint8Array(b).fill(1); got += b.byteLength; }
          hoard.push(b);
        } catch {}
      }
      return { breach: got > 64 << 20 ? `${got} bytes outside the heap limit` : null };
    },
  },
};
