// A source map inside the bundle, with lying offsets and host files.
globalThis.__backplanePlugin = { functions: { async attack() { throw new Error("mapped"); } } };
//# sourceMappingURL=data:application/json,{"version":3,"sources":["../../../../etc/passwd"],"names":[],"mappings":"AAAA;gggggggggggggB;AAAAzzzzzzzzzzzzzzzzB"}
