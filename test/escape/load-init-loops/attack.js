// An init that loops after an await.
globalThis.__backplanePlugin = { async init(ctx) { await null; for (;;) {} }, functions: { async attack() { return { breach: "init was skipped" }; } } };
