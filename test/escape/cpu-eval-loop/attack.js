// A loop compiled at run time through the Function constructor.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Function("for (;;) {}")();
    },
  },
};
