// Abilities that were not granted are absent.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = []; const local = ["randomUUID", "getRandomValues"];
      for (const path of ["http", "http.fetch", "http.get", "storage", "storage.put", "plugins", "plugins.call", "crypto", "crypto.subtle", "fetch", "data.upsert", "data.delete", "secrets", "egress", "store", "hub", "admin"]) { let value = ctx; for (const part of path.split(".")) value = value?.[part]; if (typeof value === "function") found.push(path); if (value && typeof value === "object") for (const key of Reflect.ownKeys(value)) if (typeof value[key] === "function" && !local.includes(String(key))) found.push(`${path}.${String(key)}`); }
      return { breach: found.length > 0 ? found.join(", ") : null };
    },
  },
};
