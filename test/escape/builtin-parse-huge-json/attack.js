// Parsing a large JSON text natively, again and again.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const text = `[${"[0],".repeat(2_000_000)}0]`;
      for (;;) JSON.parse(text);
    },
  },
};
