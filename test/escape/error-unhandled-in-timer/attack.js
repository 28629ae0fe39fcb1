// Throwing and rejecting in timers after the answer.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 20; i += 1) setTimeout(() => { Promise.reject({ get message() { throw 1; } }); throw { get stack() { throw 2; } }; }, i);
      await new Promise((done) => setTimeout(done, 40));
      return { breach: null };
    },
  },
};
