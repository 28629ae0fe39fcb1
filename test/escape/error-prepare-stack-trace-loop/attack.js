// A looping Error.prepareStackTrace.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Error.prepareStackTrace = () => { for (;;) {} };
      throw new Error("look at my stack");
    },
  },
};
