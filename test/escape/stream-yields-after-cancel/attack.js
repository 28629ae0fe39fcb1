// A generator that catches its end and goes on yielding.
globalThis.__backplanePlugin = { functions: { async *attack() { for (;;) { try { yield 1; } finally { continue; } } } } };
