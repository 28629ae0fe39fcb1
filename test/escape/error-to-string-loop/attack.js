// Message objects that loop when made into text.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const text = { toString() { for (;;) {} }, valueOf() { for (;;) {} } };
      throw Object.assign(new Error("x"), { name: text, message: text, code: text, stack: text });
    },
  },
};
