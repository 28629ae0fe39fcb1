// A source mapping URL that names a host file and a server.
globalThis.__backplanePlugin = { functions: { async attack() { throw new Error("mapped"); } } };
//# sourceMappingURL=file:///etc/passwd
//@ sourceMappingURL=http://127.0.0.1:7400/metrics
