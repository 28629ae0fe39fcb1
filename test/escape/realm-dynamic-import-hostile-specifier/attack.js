// A specifier whose toString loops, import attributes that throw.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      import({ toString() { throw { get message() { for (;;) {} } }; } }).catch(() => {});
      import("x", { with: { get type() { throw new Error("attribute"); } } }).catch(() => {});
      import("x".repeat(1_000_000)).catch(() => {});
      await new Promise((done) => setTimeout(done, 20));
      return { breach: null };
    },
  },
};
