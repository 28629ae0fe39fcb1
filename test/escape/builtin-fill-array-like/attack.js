// Array.prototype.fill and copyWithin on an array-like of the largest length.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const like = { length: 2 ** 53 - 1 };
      Array.prototype.copyWithin.call(like, 1, 0);
      Array.prototype.includes.call(like, 7);
    },
  },
};
