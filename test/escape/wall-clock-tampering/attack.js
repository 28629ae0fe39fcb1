// Faking the clock, timers and the deadline does not move the real deadline.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      globalThis.Date = class { static now() { return 0; } };
      globalThis.performance = { now: () => 0 };
      globalThis.setTimeout = () => 0;
      globalThis.clearTimeout = () => {};
      try { ctx.execution.deadline = "2999-01-01T00:00:00Z"; } catch {}
      await new Promise(() => {});
    },
  },
};
