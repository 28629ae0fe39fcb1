// An init that keeps its ctx and speaks through it in later calls.
let kept;
globalThis.__backplanePlugin = { init(ctx) { kept = ctx; }, functions: { async attack(params, ctx) { const row = await Promise.race([Promise.resolve().then(() => kept.data.getById("who", "1")).catch(() => null), new Promise((done) => setTimeout(() => done(null), 200))]); return { breach: row && row.execution === undefined ? "an ability ran without a call" : null, row }; } } };
