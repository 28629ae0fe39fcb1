// Ever more compiled functions.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      for (let i = 0; ; i += 1) hoard.push(new Function(`return [${Array.from({ length: 50 }, (_, n) => `${i}.${n}, () => "${i}-${n}"`).join(",")}]`)());
    },
  },
};
