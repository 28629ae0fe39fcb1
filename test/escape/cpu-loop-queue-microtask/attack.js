// queueMicrotask that queues itself.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const spin = () => queueMicrotask(spin);
      spin();
      await new Promise(() => {});
    },
  },
};
