// Setters on Object.prototype for names a bridge may assign.
let poisoned = false;
const poison = () => {
  poisoned = true;
  for (const name of ["id", "type", "kind", "call", "callId", "args", "body", "payload", "result", "ok", "error", "message", "resolve", "reject", "promise", "signal", "deadline", "ability", "handler", "execution", "timer", "value", "done", "name", "code", "frames", "outbox", "queue", "pending", "credit", "stream", "controller"]) Object.defineProperty(Object.prototype, name, { configurable: true, set(value) { globalThis.spied ??= 0; globalThis.spied += 1; Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true }); }, get() { return undefined; } });
};

globalThis.__backplanePlugin = {
  functions: {
    async attack(params, ctx) {
      const before = poisoned ? { id: "0" } : await ctx.data.getById("thing", "0");
      if (!poisoned) poison();
      const row = await ctx.data.getById("thing", "1");
      ctx.logger.info("after");
      const right = before.id === "0" && row.id === "1" && row.echo === "thing";
      return { breach: right ? ((globalThis.spied ?? 0) > 0 ? "the bridge's work was seen" : null) : "the bridge gave a wrong answer", nonce: params.nonce };
    },
  },
};
