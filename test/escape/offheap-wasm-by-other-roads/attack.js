// Reaching WebAssembly, SharedArrayBuffer and Atomics after they were taken away.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const roads = [];
      const names = ["WebAssembly", "SharedArrayBuffer", "Atomics"];
      for (const name of names) {
        if (name in globalThis) roads.push(name);
        try { if (Function(`return typeof ${name}`)() !== "undefined") roads.push(`Function:${name}`); } catch {}
        try { if ((0, eval)(`typeof ${name}`) !== "undefined") roads.push(`eval:${name}`); } catch {}
        if (Object.getOwnPropertyDescriptor(globalThis, name)?.value !== undefined) roads.push(`descriptor:${name}`);
      }
      for (const key of Reflect.ownKeys(globalThis)) {
        let value; try { value = globalThis[key]; } catch { continue; }
        const tag = value && (typeof value === "object" || typeof value === "function") ? value[Symbol.toStringTag] : undefined;
        if (tag === "WebAssembly" || tag === "Atomics") roads.push(`tag:${String(key)}`);
      }
      return { breach: roads.length > 0 ? roads.join(", ") : null };
    },
  },
};
