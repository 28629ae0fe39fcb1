// An unhandled rejection with looping getters, left behind.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Promise.reject({ get stack() { for (;;) {} }, get message() { for (;;) {} }, get name() { for (;;) {} } });
      return { breach: null };
    },
  },
};
