// An error whose name, message and code are symbols.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw Object.assign(new Error("x"), { name: Symbol("name"), message: Symbol("message"), code: Symbol("code"), stack: Symbol("stack") });
    },
  },
};
