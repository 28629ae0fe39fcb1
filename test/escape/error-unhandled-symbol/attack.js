// Unhandled rejections with values that cannot be copied.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Promise.reject(Symbol("x")); Promise.reject(() => {}); Promise.reject(undefined); Promise.reject(globalThis); Promise.reject(new WeakMap());
      return { breach: null };
    },
  },
};
