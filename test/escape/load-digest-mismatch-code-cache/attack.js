// A bundle that begins with the bytes of a code cache and with a hashbang.
/* \xde\xc0\xca\xfe V8 code cache */ globalThis.__backplanePlugin = { functions: { async attack() { return { breach: null }; } } };
