// Ever more hidden classes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (let i = 0; ; i += 1) { const o = {}; for (let j = 0; j < 100; j += 1) o[`k${i}_${j}`] = j; hoard.push(o); }
    },
  },
};
