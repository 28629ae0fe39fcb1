// The same Intl objects through constructors on prototypes and instances.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const hoard = [];
      const Format = Intl.DateTimeFormat.prototype.constructor;
      class Mine extends Intl.NumberFormat {}
      for (let i = 0; ; i += 1) {
        hoard.push(new Format("ja", { dateStyle: "full", timeStyle: "long" }), new Mine("ar", { style: "percent" }));
        hoard.push(Reflect.construct(Intl.PluralRules.prototype.constructor, ["th"]), new (hoard[0].constructor)("hi"));
      }
    },
  },
};
