// JSON.stringify called by the guest on a looping toJSON.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      JSON.stringify({ toJSON() { for (;;) {} } });
    },
  },
};
