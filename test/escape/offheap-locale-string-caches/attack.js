// toLocaleString with ever new locales, which fill hidden caches.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 5000; i += 1) {
        (1234.5).toLocaleString(`en-x-a${i}`); new Date(0).toLocaleDateString(`de-x-a${i}`, { weekday: "long", era: "long" }); "a".localeCompare("b", `sv-x-a${i}`);
      }
      return { breach: null };
    },
  },
};
