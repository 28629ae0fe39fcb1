// Endless recursion through native frames: replace, sort, JSON, Reflect, getters.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const dive = () => "x".replace("x", () => String([1, 2].sort(() => JSON.parse("[1]", () => Reflect.apply(dive, null, [])))));
      return dive();
    },
  },
};
