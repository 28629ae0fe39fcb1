// A chain of microtasks that never lets go.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const spin = () => Promise.resolve().then(spin);
      spin();
      await new Promise(() => {});
    },
  },
};
