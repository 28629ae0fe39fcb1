// Ids of calls and random numbers are not guessable from inside.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const a = new Uint8Array(32); const b = new Uint8Array(32);
      crypto.getRandomValues(a); crypto.getRandomValues(b);
      const same = a.every((value, i) => value === b[i]); const zero = a.every((value) => value === 0);
      return { breach: same || zero ? "random values repeat" : null };
    },
  },
};
