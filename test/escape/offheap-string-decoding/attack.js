// Case mapping, escaping and URI coding of long strings, natively.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const text = "\u0390ß\ud83d\ude00".repeat(400_000);
      for (let i = 0; i < 1000; i += 1) { text.toUpperCase(); encodeURIComponent(text); escape(text); text.toLocaleLowerCase("tr"); }
      return { breach: null };
    },
  },
};
