// Dynamic import of Node modules, files, data URLs and the engine binding.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const got = [];
      for (const name of ["node:fs", "fs", "node:child_process", "isolated-vm", "file:///etc/passwd", "/etc/passwd", "./plugin.js", "data:text/javascript,export default 1", "https://example.com/x.js", "node:vm", ""]) {
        for (const load of [() => import(name), () => (0, eval)(`import(${JSON.stringify(name)})`), () => Function("n", "return import(n)")(name)]) {
          const answer = await Promise.race([Promise.resolve().then(load).then(() => "loaded", () => "refused"), new Promise((done) => setTimeout(() => done("pending"), 30))]);
          if (answer === "loaded") got.push(name);
        }
      }
      return { breach: got.length > 0 ? `imported ${got.join(", ")}` : null };
    },
  },
};
