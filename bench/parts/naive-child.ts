/**
 * The naive design, as an honest first draft would have it: objects over the IPC channel, the handler called through
 * `Reference.apply` with copied objects, host functions that give promises. Runs at a runner's priority.
 */
import { setPriority } from "node:os";
import ivm from "isolated-vm";
import { definition } from "./handlers.ts";

setPriority(5);

interface Message {
  type: "call" | "answer";
  id: number;
  handler?: string;
  params?: unknown;
  value?: unknown;
}

const isolate = new ivm.Isolate({ memoryLimit: 32 });
const context = isolate.createContextSync();
const answers = new Map<number, (value: unknown) => void>();
let lastAbility = 0;

const ability = new ivm.Reference((name: string, args: unknown[]) =>
  new Promise((resolve) => {
    lastAbility += 1;
    answers.set(lastAbility, resolve);
    process.send!({ type: "ability", id: lastAbility, name, args });
  }).then((value) => new ivm.ExternalCopy(value).copyInto()),
);
context.global.setSync("ability", ability);
context.evalSync(`
  const plugin = ${definition};
  const call = (name, args) =>
    ability.apply(undefined, [name, args], { arguments: { copy: true }, result: { promise: true } });
  const ctx = { data: { getById: (entity, id) => call("data.getById", [entity, id]) } };
  globalThis.run = (handler, params) => plugin.functions[handler](params, ctx);
`);
const run = context.global.getSync("run", { reference: true });

process.on("message", async (message: Message) => {
  if (message.type === "answer") {
    answers.get(message.id)?.(message.value);
    answers.delete(message.id);
    return;
  }
  const value = await run.apply(undefined, [message.handler, message.params], {
    arguments: { copy: true },
    result: { promise: true, copy: true },
    timeout: 250,
  });
  process.send!({ type: "result", id: message.id, value });
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.send!({ type: "ready" });
