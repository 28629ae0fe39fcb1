// An error with a message of a hundred megabytes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw new Error("x".repeat(2 ** 20).repeat(10).concat("y".repeat(2 ** 23)));
    },
  },
};
