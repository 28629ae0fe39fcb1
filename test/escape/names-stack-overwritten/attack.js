// A stack that was written by hand with host paths, lines and columns out of range.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw Object.assign(new Error("forged"), { stack: `Error: forged\n${Array.from({ length: 500 }, (_, i) => `    at evil${i} (plugin://escape@1.0.0/main.js:${i * 1e9}:-${i})\n    at x (file:///etc/passwd:1:1)`).join("\n")}` });
    },
  },
};
