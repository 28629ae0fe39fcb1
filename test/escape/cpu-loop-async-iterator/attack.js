// for await over an iterator that never ends.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const endless = { [Symbol.asyncIterator]() { return { next: async () => ({ done: false, value: 1 }) }; } };
      for await (const _ of endless) {}
    },
  },
};
