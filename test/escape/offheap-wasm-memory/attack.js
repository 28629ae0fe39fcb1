// WebAssembly memories, many and grown.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      if (typeof WebAssembly === "undefined") return { breach: null };
      const hoard = []; let got = 0;
      for (let i = 0; i < 32; i += 1) { const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 }); m.grow(1023); new Uint8Array(m.buffer).fill(1); got += m.buffer.byteLength; hoard.push(m); }
      return { breach: `${got} bytes of wasm memory` };
    },
  },
};
