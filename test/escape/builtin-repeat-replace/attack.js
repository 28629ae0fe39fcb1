// replaceAll and split on long strings, built to explode.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const text = "a".repeat(2 ** 20);
      for (;;) text.replaceAll("a", "$&$&$&$&$&$&$&$&").split("");
    },
  },
};
