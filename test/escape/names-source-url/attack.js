// A sourceURL comment in the bundle that names a host file.
globalThis.__backplanePlugin = { functions: { async attack() { throw new Error("named"); } } };
//# sourceURL=/etc/passwd
