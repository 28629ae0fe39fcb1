// A bundle that leaves no definition.
globalThis.nothing = 1;
