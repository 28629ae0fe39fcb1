// A bundle that leaves a microtask loop behind.
globalThis.__backplanePlugin = { functions: { async attack() { return { breach: null }; } } };
const spin = () => Promise.resolve().then(spin); spin();
