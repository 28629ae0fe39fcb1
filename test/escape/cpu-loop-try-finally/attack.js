// A loop that re-enters itself from catch and finally.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      function again() {
        try { for (;;) {} } catch { for (;;) {} } finally { again(); }
      }
      again();
    },
  },
};
