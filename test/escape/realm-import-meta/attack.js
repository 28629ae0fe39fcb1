// import.meta, module syntax and top-level tricks inside evaluated text.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const found = [];
      for (const text of ["import.meta", "import.meta.url", "import 'node:fs'", "export default 1", "new.target", "super.x", "await 0", "#x in this", "return process", "import.source('x')", "import.defer('x')"]) { try { const value = (0, eval)(text); if (value && !value.then) found.push(text); if (value?.catch) value.catch(() => {}); } catch {} }
      return { breach: found.length > 0 ? `evaluated ${found.join(", ")}` : null };
    },
  },
};
