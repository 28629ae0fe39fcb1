// An object with ever more keys.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const object = {};
      for (let i = 0; ; i += 1) object[`key${i}`] = i;
    },
  },
};
