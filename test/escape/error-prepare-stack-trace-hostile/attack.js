// Error.prepareStackTrace that answers a hostile object.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Error.prepareStackTrace = (_, sites) => ({ sites, toString() { throw new Error("no"); }, get length() { throw new Error("no"); }, [Symbol.toPrimitive]() { for (;;) {} } });
      Error.stackTraceLimit = Number.POSITIVE_INFINITY;
      throw new Error("look at my stack");
    },
  },
};
