// Replacing the plugin definition between calls.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      globalThis.__backplanePlugin = new Proxy({}, { get() { for (;;) {} } });
      return { breach: null };
    },
  },
};
