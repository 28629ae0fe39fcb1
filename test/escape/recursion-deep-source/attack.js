// Source text nested a hundred thousand levels deep.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, value: typeof Function(`return ${"(".repeat(100_000)}1${")".repeat(100_000)}`)() };
    },
  },
};
