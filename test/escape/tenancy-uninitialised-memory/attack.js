// Fresh buffers that may still hold another installation's bytes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let dirty = 0; let text = "";
      for (let i = 0; i < 200; i += 1) { const bytes = new Uint8Array(4096 + i * 37); for (const byte of bytes) if (byte !== 0) { dirty += 1; text += String.fromCharCode(byte); } const c = new Float64Array(512); for (const n of c) if (n !== 0) dirty += 1; }
      return { breach: dirty > 0 ? `${dirty} bytes were not zero` : null, text: text.slice(0, 100) };
    },
  },
};
