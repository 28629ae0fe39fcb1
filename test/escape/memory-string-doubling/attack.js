// Flat strings that double.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      let text = "x".repeat(1024);
      for (;;) { text = (text + text).slice(0, 1 << 22); hoard.push(text.replaceAll("x", "y") + hoard.length); }
    },
  },
};
