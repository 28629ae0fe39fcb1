// Symbol.toPrimitive that loops when a value is added.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const value = { [Symbol.toPrimitive]() { for (;;) {} } };
      return { breach: null, text: `${value}` };
    },
  },
};
