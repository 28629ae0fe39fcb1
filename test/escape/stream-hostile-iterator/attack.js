// An iterator whose next, return and done are hostile.
globalThis.__backplanePlugin = { functions: { attack() { return { [Symbol.asyncIterator]() { return { next() { return { get done() { return false; }, get value() { return { toJSON() { for (;;) {} } }; } }; }, return() { for (;;) {} }, throw() { for (;;) {} } }; } }; } } };
