// Sorting a typed array natively, again and again.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const data = new Float64Array(2_000_000);
      for (let i = 0; i < data.length; i += 1) data[i] = Math.random();
      for (;;) new Float64Array(data).sort();
    },
  },
};
