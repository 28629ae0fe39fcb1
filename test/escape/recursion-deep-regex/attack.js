// A regular expression nested a hundred thousand groups deep.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, hit: new RegExp("(".repeat(100_000) + "a" + ")".repeat(100_000)).test("a") };
    },
  },
};
