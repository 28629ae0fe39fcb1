// Array.prototype.indexOf on a length of 2^53-1: cannot be interrupted.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);
    },
  },
};
