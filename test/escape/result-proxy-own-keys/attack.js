// A proxy whose ownKeys never ends.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return new Proxy({}, { ownKeys() { for (;;) {} } });
    },
  },
};
