// A thrown object whose getters throw.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw { get name() { throw 1; }, get message() { throw 2; }, get stack() { throw 3; }, get code() { throw 4; }, [Symbol.toPrimitive]() { throw 5; } };
    },
  },
};
