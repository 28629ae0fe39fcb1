// A bundle that sets looping timers and rejections while it is loaded.
try { setTimeout(() => { for (;;) {} }, 0); } catch {}
Promise.reject({ get message() { for (;;) {} } });
globalThis.__backplanePlugin = { functions: { async attack() { await new Promise((done) => setTimeout(done, 30)); return { breach: null }; } } };
