// A definition behind a looping getter.
Object.defineProperty(globalThis, "__backplanePlugin", { get() { for (;;) {} } });
