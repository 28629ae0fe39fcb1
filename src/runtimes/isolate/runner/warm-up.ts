/**
 * What an isolate does before its prelude's code cache is taken: a made-up plugin goes through the steps of a usual life,
 * so that the functions it needs are in the cache, compiled. Trusted code only.
 */
import { Inbound, type PumpLimits } from "../guest/message-kind.ts";
import { readOutbox } from "./outbox.ts";

const plugin = `globalThis.__backplanePlugin = {
  init(ctx) { ctx.logger.info("warm", { a: [1] }); },
  functions: {
    async use(input, ctx) {
      const found = await ctx.data?.getById("Order", input.id);
      await ctx.emitEvent?.("warm.up", { found, greeting: ctx.config.greeting });
      try { await ctx.http?.get("https://example.com/"); } catch {}
      try { await ctx.http?.post("https://example.com/", { a: 1 }); } catch {}
      const url = new URL("https://example.com/a?b=c#d");
      url.searchParams.get("b");
      new TextDecoder().decode(new TextEncoder().encode("warm"));
      new Headers({ a: "b" }).get("a");
      crypto.randomUUID();
      structuredClone({ a: [1, new Date(0)] });
      atob(btoa("warm"));
      ctx.permissions.has("event:publish:warm.*");
      ctx.execution.signal.aborted;
      ctx.execution.progress(1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return { deadline: ctx.execution.deadline, found };
    },
    fail() { throw new TypeError("warm"); },
  },
};`;

const environment = {
  organization: "warm",
  plugin: { id: "warm.up", version: "1.0.0" },
  config: { greeting: "hello" },
  abilities: ["log.write", "progress.report", "events.emit", "data.query", "data.getById", "data.upsert", "http.fetch"],
  permissions: ["event:publish:warm.*"],
};

const limits: PumpLimits = {
  pendingAbilityCalls: 16,
  timers: 16,
  messageBytes: 100_000,
  logBytes: 10_000,
  outboxBytes: 1_000_000,
};

/** `enter` runs a batch and gives back what the guest sends; `run` evaluates a script in the isolate. */
export function warmUp(run: (code: string) => void, enter: (batch: (number | string)[]) => string): void {
  run(plugin);
  let inbox: (number | string)[] = [Inbound.load, 1, 0, JSON.stringify(environment), JSON.stringify(limits)];
  const execution = { id: "warm", deadline: "2026-01-01T00:00:00.000Z" };
  const call = (id: number, name: string): (number | string)[] => [
    Inbound.call,
    id,
    0,
    JSON.stringify({ handler: ["functions", name], environment: execution }),
    '[{"id":"1"}]',
  ];
  inbox.push(...call(2, "use"), ...call(3, "fail"), ...call(4, "missing"));
  for (let turn = 0; turn < 20 && inbox.length > 0; turn++) {
    const text = enter(inbox);
    inbox = [];
    readOutbox(text, ({ kind, id, aux, name }) => {
      if (kind === "T") inbox.push(Inbound.timers, 0, 0, String(aux), "");
      if (kind !== "A") return;
      const answer =
        name === "http.fetch"
          ? {
              status: 200,
              statusText: "OK",
              url: "https://example.com/",
              headers: [["content-type", "application/json"]],
              body: { $bytes: "e30=" },
            }
          : { id: "1" };
      inbox.push(Inbound.answer, id, aux, "", JSON.stringify(answer));
    });
  }
}
