// A source map inside the code, with lying offsets.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      Function('throw new Error("mapped")\n//# sourceMappingURL=data:application/json,{"version":3,"sources":["../../../../etc/passwd"],"names":[],"mappings":"AAAA;gggggggggggggB;AAAAzzzzzzzzzzzzzzzzB"}')();
    },
  },
};
