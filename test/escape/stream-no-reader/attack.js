// A generator that yields for ever, to a reader that takes nothing.
globalThis.__backplanePlugin = { functions: { async *attack(params, ctx) { for (let i = 0; ; i += 1) { yield { i, pad: "x".repeat(10_000) }; } } } };
