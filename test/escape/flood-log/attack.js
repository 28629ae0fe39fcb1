// An endless stream of log lines.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (;;) ctx.logger.info("the quick brown fox jumps over the lazy dog");
    },
  },
};
