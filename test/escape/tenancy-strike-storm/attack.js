// Breaking the CPU limit again and again: strikes end in quarantine, never in harm to others.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) {}
    },
  },
};
