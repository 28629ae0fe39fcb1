// Every kind of function constructor, and what its code sees.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const makers = [Function, Object.getPrototypeOf(async () => {}).constructor, Object.getPrototypeOf(function* () {}).constructor, Object.getPrototypeOf(async function* () {}).constructor];
      const found = [];
      for (const make of makers) {
        try {
          let value = make("return [typeof process, typeof require, this === globalThis || this === undefined, globalThis]")();
          if (value?.next) value = await value.next(); if (value?.then) value = await value; if (value && "value" in value) value = value.value;
          if (value[0] !== "undefined" || value[1] !== "undefined") found.push(`${make.name} sees Node`);
          if (value[3] !== globalThis) found.push(`${make.name} is of another realm`);
        } catch (error) { if (!/code generation|EvalError/i.test(String(error))) found.push(`${make.name}: ${error}`); }
      }
      return { breach: found.length > 0 ? found.join("; ") : null };
    },
  },
};
