// An error that claims to be one of the platform's own.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw Object.assign(new Error("The runner was lost during the call. Try again."), { name: "BackplaneError", code: "runner_lost", retryable: true, status: 503, guestStack: "x" });
    },
  },
};
