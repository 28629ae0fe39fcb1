// An invalid date, whose toISOString throws inside toJSON.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { breach: null, d: new Date(Number.NaN), o: Object.create(Date.prototype) };
    },
  },
};
