// A generator that yields for ever, to a reader that stops after ten.
globalThis.__backplanePlugin = { functions: { async *attack() { for (let i = 0; ; i += 1) yield { i }; } } };
