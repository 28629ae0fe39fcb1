// Reaching the resizable constructor through subclasses, species and prototypes.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const roads = {};
      const attempt = (name, make) => { try { const b = make(); roads[name] = Boolean(b && (b.resizable === true || b.growable === true)); } catch (e) { roads[name] = false; } };
      const AB = new Uint8Array(1).buffer.constructor;
      attempt("plain", () => new ArrayBuffer(1, { maxByteLength: 1 << 20 }));
      attempt("instance", () => new AB(1, { maxByteLength: 1 << 20 }));
      attempt("subclass", () => { class B extends ArrayBuffer {} return new B(1, { maxByteLength: 1 << 20 }); });
      attempt("reflect", () => Reflect.construct(ArrayBuffer, [1, { maxByteLength: 1 << 20 }], Object));
      attempt("newtarget", () => Reflect.construct(AB, [1, { maxByteLength: 1 << 20 }], AB));
      attempt("proto", () => new (Object.getPrototypeOf(class extends ArrayBuffer {}))(1, { maxByteLength: 1 << 20 }));
      attempt("slice", () => { const B = new Uint8Array(8).buffer; B.constructor = { [Symbol.species]: AB }; return B.slice(0, 4); });
      attempt("transfer", () => new Uint8Array(8).buffer.transfer(16));
      attempt("dataview", () => new (new DataView(new Uint8Array(8).buffer).buffer.constructor)(1, { maxByteLength: 64 }));
      attempt("function", () => Function("return new ArrayBuffer(1, {maxByteLength: 1 << 20})")());
      attempt("eval", () => (0, eval)("new ArrayBuffer(1, {maxByteLength: 1 << 20})"));
      attempt("generator", () => Object.getPrototypeOf(function* () {}).constructor("yield new ArrayBuffer(1, {maxByteLength: 1 << 20})")().next().value);
      attempt("typed", () => new Uint8Array(new Uint8Array(3)).buffer);
      attempt("structuredClone", () => structuredClone(new Uint8Array(3).buffer));
      attempt("crypto", () => crypto.getRandomValues(new Uint8Array(3)).buffer);
      attempt("encoder", () => new (new TextEncoder().encode("x").buffer.constructor)(1, { maxByteLength: 64 }));
      const open = Object.keys(roads).filter((road) => roads[road]);
      return { breach: open.length > 0 ? `resizable through ${open.join(", ")}` : null };
    },
  },
};
