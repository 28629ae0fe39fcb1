// A generator whose return handler loops while it is being closed.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      function* stuck() { try { for (;;) yield 1; } finally { for (;;) {} } }
      for (const _ of stuck()) break;
    },
  },
};
