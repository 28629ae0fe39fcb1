// An interval that burns CPU after the call has answered.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      setInterval(() => { const end = Date.now() + 40; while (Date.now() < end) {} }, 1);
      return { breach: null };
    },
  },
};
