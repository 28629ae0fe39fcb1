// A thenable that settles many times in both ways.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      return { then(done, fail) { done({ breach: null }); done({ breach: "second answer taken" }); fail(new Error("third")); done({ then() { for (;;) {} } }); } };
    },
  },
};
