// Atomics.wait, which would park the thread.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      if (typeof Atomics === "undefined" || typeof SharedArrayBuffer === "undefined") return { breach: null };
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      return { breach: "Atomics.wait returned" };
    },
  },
};
