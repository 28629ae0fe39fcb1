// Constructor chains from every function and object on ctx.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      const seen = new Set();
      const check = (value, path) => {
        if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return;
        seen.add(value);
        let maker; try { maker = value.constructor?.constructor; } catch { return; }
        if (typeof maker === "function") {
          if (maker !== Function && maker.name === "Function") found.push(`${path}: a foreign Function`);
          let realm; try { realm = maker("return globalThis")(); } catch {}
          if (realm && realm !== globalThis) found.push(`${path}: another realm`);
          try { if (maker("return typeof process")() !== "undefined") found.push(`${path}: process`); } catch {}
        }
        for (const key of Reflect.ownKeys(value)) { let d; try { d = Object.getOwnPropertyDescriptor(value, key); } catch { continue; } for (const part of [d?.value, d?.get, d?.set]) check(part, `${path}.${String(key)}`); }
        check(Object.getPrototypeOf(value), `${path}.__proto__`);
      };
      check(ctx, "ctx"); check(params, "params");
      return { breach: found.length > 0 ? found.slice(0, 5).join("; ") : null, seen: seen.size };
    },
  },
};
