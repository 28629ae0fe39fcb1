// A thrown object whose getters loop.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw { get name() { for (;;) {} }, get message() { for (;;) {} }, get stack() { for (;;) {} }, get code() { for (;;) {} } };
    },
  },
};
