// Chunks far beyond the message limit.
globalThis.__backplanePlugin = { functions: { async *attack() { for (;;) yield "x".repeat(5_000_000); } } };
