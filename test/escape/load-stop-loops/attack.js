// A stop that loops and never settles when the instance is let go.
globalThis.__backplanePlugin = { async stop() { for (;;) {} }, functions: { async attack() { return { breach: null }; } } };
