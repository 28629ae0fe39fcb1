// A bundle that does not parse.
globalThis.__backplanePlugin = { functions: { attack( {
