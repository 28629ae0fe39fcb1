// A rope of half a gigabyte, flattened.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let rope = "ab";
      while (rope.length < 2 ** 28) rope += rope;
      return { breach: null, at: rope.charCodeAt(12345), hash: { [rope]: 1 } !== null };
    },
  },
};
