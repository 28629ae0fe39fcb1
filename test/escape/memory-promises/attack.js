// A storm of promises that never settle.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (;;) hoard.push(new Promise(() => {}).then(() => {}));
    },
  },
};
