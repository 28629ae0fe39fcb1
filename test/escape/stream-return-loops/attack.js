// A generator that loops in finally when the reader leaves.
globalThis.__backplanePlugin = { functions: { async *attack() { try { for (let i = 0; ; i += 1) yield i; } finally { for (;;) {} } } } };
