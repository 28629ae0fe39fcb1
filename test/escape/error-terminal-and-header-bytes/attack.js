// Control bytes, ANSI and CR/LF in an error message.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      throw Object.assign(new Error("\u001b[2J\r\nset-cookie: a=b\u0000{\"level\":60}\n"), { code: "x\r\ny: z" });
    },
  },
};
