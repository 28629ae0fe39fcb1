// An init that never settles.
globalThis.__backplanePlugin = { init() { return new Promise(() => {}); }, functions: { async attack() { return { breach: "init was skipped" }; } } };
