// toJSON that answers a larger value each time it is asked.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let depth = 0;
      return { toJSON() { depth += 1; return Array.from({ length: 50 }, () => ({ toJSON: this?.toJSON ?? (() => "x".repeat(50_000)), pad: "x".repeat(50_000) })); } };
    },
  },
};
