// A getter in the result that throws a hostile value.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { get a() { throw { get message() { throw new Error("again"); }, toString() { throw 1; } }; } };
    },
  },
};
