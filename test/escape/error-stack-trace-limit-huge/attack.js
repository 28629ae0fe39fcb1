// A getter for stackTraceLimit and a stack as deep as it goes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Object.defineProperty(Error, "stackTraceLimit", { get() { return 1e9; } });
      const dive = () => dive();
      dive();
    },
  },
};
