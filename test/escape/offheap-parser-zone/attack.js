// Source texts of megabytes, whose syntax trees lie outside the heap.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      for (let i = 0; i < 20; i += 1) { try { Function(`return [${`a.b(c,[d,{e:f}]),`.repeat(300_000)}${i}]`); } catch (error) { if (!/a is not defined|memory|stack|too/i.test(String(error))) throw error; } }
      return { breach: null };
    },
  },
};
