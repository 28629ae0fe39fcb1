/** Bare isolates: nothing but an isolate and a context each. Says what one costs in MB of this process. */
import ivm from "isolated-vm";
import { serve } from "./child.ts";
import { memoryOf } from "./machine.ts";

const kept: unknown[] = [];
const add = (): void => {
  const isolate = new ivm.Isolate({ memoryLimit: 64 });
  const context = isolate.createContextSync();
  context.evalSync("globalThis.call = (text) => JSON.stringify({ ok: true, id: JSON.parse(text).id })");
  const run = context.global.getSync("call", { reference: true });
  run.applySync(undefined, ['{"id":1}']);
  kept.push(isolate, context, run);
};
for (let n = 0; n < 5; n++) add();

serve(({ count }: { count: number }) => {
  const before = memoryOf(process.pid).privateMb;
  for (let n = 0; n < count; n++) add();
  return { mb: (memoryOf(process.pid).privateMb - before) / count };
});
