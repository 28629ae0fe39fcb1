// A definition of getters and proxies that answer differently each time.
let turn = 0;
const handler = async () => ({ breach: null });
globalThis.__backplanePlugin = new Proxy({}, {
  get(_, key) { turn += 1; if (key === "then") return undefined; return key === "functions" ? new Proxy({}, { get: () => (turn % 2 ? handler : undefined), has: () => true, getOwnPropertyDescriptor: () => ({ value: handler, configurable: true, enumerable: true, writable: true }) }) : undefined; },
  has: () => true,
});
