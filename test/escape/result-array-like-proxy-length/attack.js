// A proxied array that claims a length of 2^53-1.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return new Proxy([], { get(target, key) { return key === "length" ? 2 ** 53 - 1 : key === "toJSON" ? undefined : 1; } });
    },
  },
};
