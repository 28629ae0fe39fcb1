// Function and class names with line breaks and terminal codes in the stack.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const evil = { ["\n    at hub (/etc/shadow:1:1)\u001b[31m"]() { throw new Error("named"); } };
      Object.values(evil)[0]();
    },
  },
};
