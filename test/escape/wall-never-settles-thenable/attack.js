// A returned thenable that never calls back.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { then() {} };
    },
  },
};
