// Intl.Segmenter over one endless grapheme.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const text = "\u{1F468}\u200D".repeat(1_500_000);
      for (;;) for (const _ of new Intl.Segmenter("en").segment(text)) {}
    },
  },
};
