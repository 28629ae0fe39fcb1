// Looking for process, require and the rest of Node.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const names = ["process", "require", "module", "exports", "__dirname", "__filename", "global", "Buffer", "setImmediate", "clearImmediate", "fetch", "XMLHttpRequest", "WebSocket", "Worker", "BroadcastChannel", "MessageChannel", "navigator", "window", "document", "Deno", "Bun", "importScripts", "ivm", "isolate", "gc", "d8", "print", "load", "read", "quit", "performance", "ShadowRealm"];
      const allowed = new Set(["performance", "global", "navigator", "Buffer"]);
      const present = names.filter((name) => { if (name in globalThis) return true; try { return Function(`return typeof ${name}`)() !== "undefined"; } catch { return false; } });
      if (typeof process !== "undefined") present.push("process itself");
      if (typeof require !== "undefined") present.push("require itself");
      if (typeof module !== "undefined") present.push("module itself");
      const bad = present.filter((name) => !allowed.has(name));
      const odd = [];
      if (globalThis.performance && "nodeTiming" in performance) odd.push("Node's performance");
      if (globalThis.navigator && "hardwareConcurrency" in navigator) odd.push("the machine's navigator");
      return { breach: bad.length + odd.length > 0 ? [...bad, ...odd].join(", ") : null, present };
    },
  },
};
