// Answering twice: a result, then more results, progress and abilities of the same call.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      queueMicrotask(() => { ctx.execution.progress("late"); ctx.emitEvent("flood.late", {}).catch(() => {}); });
      setTimeout(() => { ctx.execution.progress("later"); ctx.logger.info("later"); ctx.emitEvent("flood.later", {}).catch(() => {}); }, 5);
      return { breach: null };
    },
  },
};
