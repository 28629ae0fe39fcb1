// A cyclic chain of causes and an AggregateError of itself.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const first = new Error("first"); const second = new AggregateError([first], "second", { cause: first });
      first.cause = second; second.errors.push(second);
      throw second;
    },
  },
};
