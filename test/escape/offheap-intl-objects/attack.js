// Intl objects, whose memory lies outside the heap.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      const locales = ["sv", "ja", "ar", "th", "zh", "hi", "de", "fr"];
      for (let i = 0; ; i += 1) {
        const locale = `${locales[i % 8]}-u-nu-latn`;
        hoard.push(new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "full" }));
        hoard.push(new Intl.NumberFormat(locale, { style: "currency", currency: "EUR" }));
        hoard.push(new Intl.Collator(locale), new Intl.RelativeTimeFormat(locale));
      }
    },
  },
};
