// An error with giant name, stack and code.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw Object.assign(new Error("m"), { name: "n".repeat(2 ** 20), stack: "s".repeat(2 ** 20), code: "c".repeat(2 ** 20) });
    },
  },
};
