// A bundle nested two hundred thousand brackets deep.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null };
    },
  },
};
