// A result with its own __proto__ and constructor keys.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return JSON.parse('{"breach":null,"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
    },
  },
};
