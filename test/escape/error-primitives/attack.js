// Throwing what is no object.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      globalThis.turn = (globalThis.turn ?? 0) + 1;
      throw [undefined, null, 0, "", Symbol("thrown"), 10n, () => {}][globalThis.turn - 1];
    },
  },
};
