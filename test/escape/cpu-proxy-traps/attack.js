// A proxy chain whose get trap asks itself again.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const trap = new Proxy({}, { get(_, key, self) { for (;;) { Reflect.has(self, key); } }, has() { return true; } });
      return { breach: null, text: trap.anything };
    },
  },
};
