// Encoders and decoders used to make big buffers over and over.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (let i = 0; i < 400; i += 1) hoard.push(new TextEncoder().encode("é".repeat(500_000)));
      return { breach: hoard.length === 400 ? "400 MB were held" : null };
    },
  },
};
