// A microtask chain left running behind an answered call.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let n = 0;
      const spin = () => { n += 1; return Promise.resolve().then(spin); };
      ctx.data.query("thing", {}).then(spin);
      return { breach: null };
    },
  },
};
