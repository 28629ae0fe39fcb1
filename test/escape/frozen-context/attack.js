// Replacing parts of ctx, so that other calls of the installation see them.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const spoiled = ctx.marked === true || ctx.execution.id === "forged";
      try { ctx.marked = true; } catch {}
      try { ctx.execution.id = "forged"; ctx.execution.userId = "root"; } catch {}
      try { ctx.organization = "org-canary"; } catch {}
      try { Object.getPrototypeOf(ctx).marked = Object.getPrototypeOf(ctx) === Object.prototype ? undefined : true; } catch {}
      return { breach: spoiled ? "another call sees the changed context" : null };
    },
  },
};
