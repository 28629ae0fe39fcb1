// Timers of zero milliseconds that each burn a little.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const burn = () => { const end = Date.now() + 5; while (Date.now() < end) {} setTimeout(burn, 0); };
      burn();
      await new Promise(() => {});
    },
  },
};
