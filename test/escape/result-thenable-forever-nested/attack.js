// A thenable that resolves to another thenable, for ever.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const again = () => ({ then(done) { done(again()); } });
      return again();
    },
  },
};
