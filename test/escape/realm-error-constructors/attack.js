// Errors thrown by the bridge and their constructor chains.
globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const errors = [];
      for (const attempt of [() => ctx.data.getById("refuse", "1"), () => ctx.data.getById(), () => ctx.data.getById("thing", 1n), () => ctx.data.query(Symbol("x")), () => ctx.emitEvent(), () => new URL("::::"), () => atob("*"), () => structuredClone(() => {}), () => crypto.getRandomValues(5), () => new AbortController().signal.throwIfAborted.call(1), () => new TextDecoder("nonsense"), () => setTimeout("x"), () => decodeURIComponent("%")]) {
        try { await attempt(); } catch (error) { errors.push(error); }
      }
      const found = [];
      for (const error of errors) {
        for (let link = error; link !== null && typeof link === "object"; link = Object.getPrototypeOf(link)) {
          const maker = link.constructor?.constructor;
          if (typeof maker === "function" && maker !== Function) found.push(`${error}: foreign Function`);
        }
        for (const key of ["cause", "stack", "details", "guestStack", "host"]) if (/node:|file:|[/](work|usr|home|root|tmp|opt)[/]|isolated.vm|dist[/]|runner[.]ts|src[/]/.test(String(error?.[key] ?? ""))) found.push(`${error}: ${key} names the host: ${String(error[key]).slice(0, 300)}`);
      }
      return { breach: found.length > 0 ? found.join("; ") : null, count: errors.length };
    },
  },
};
