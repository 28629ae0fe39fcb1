// sourceURL and sourceMappingURL comments that name host files and vast maps.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      eval("throw new Error('named')\n//# sourceURL=/etc/passwd\n//# sourceMappingURL=file:///etc/passwd");
    },
  },
};
