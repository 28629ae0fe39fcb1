// Segment iterators and derived locales: ICU objects that no constructor of the guest makes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const segments = new Intl.Segmenter("ja", { granularity: "word" }).segment("日本語の文章 ".repeat(2000));
      const hoard = [];
      for (let i = 0; i < 60_000; i += 1) { const it = segments[Symbol.iterator](); it.next(); hoard.push(it, segments.containing(5)); }
      return { breach: null, n: hoard.length };
    },
  },
};
