// JSON.rawJSON used to smuggle text into the answer.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      if (typeof JSON.rawJSON !== "function") return { breach: null };
      return { breach: null, raw: JSON.rawJSON('"plain"'), boxed: Object("x"), n: JSON.rawJSON("1e99999") };
    },
  },
};
