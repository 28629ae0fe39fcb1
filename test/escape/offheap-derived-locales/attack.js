// Locales made by maximize and minimize, which no constructor of the guest makes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = []; let locale = new Intl.Locale("zh");
      for (let i = 0; i < 300_000; i += 1) { locale = i % 2 ? locale.maximize() : locale.minimize(); hoard.push(locale); }
      return { breach: null, n: hoard.length };
    },
  },
};
