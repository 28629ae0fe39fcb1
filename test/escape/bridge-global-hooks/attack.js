// Setting globals that a pump may call: handlers, hooks, outboxes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      let called = [];
      for (const name of ["pump", "drain", "outbox", "inbox", "dispatch", "deliver", "receive", "send", "postMessage", "onmessage", "onMessage", "handle", "__pump", "__drain", "__bridge", "__backplane", "_ivm", "$0", "$1", "bridge", "host", "onunhandledrejection", "onerror", "__backplaneBridge", "__backplaneSend"]) {
        try { Object.defineProperty(globalThis, name, { configurable: true, get() { called.push(`get ${name}`); return () => called.push(`call ${name}`); }, set() { called.push(`set ${name}`); } }); } catch {}
      }
      await ctx.data.getById("thing", "1"); await new Promise((done) => setTimeout(done, 5)); ctx.logger.info("x"); Promise.reject(new Error("unheard"));
      await ctx.data.getById("thing", "2");
      return { breach: called.length > 0 ? called.join(", ") : null };
    },
  },
};
