/** The hub's side of the naive design. */
import { fork } from "node:child_process";
import { once } from "node:events";

export interface Naive extends Disposable {
  call(handler: string, params: unknown): Promise<unknown>;
}

interface Message {
  type: "ready" | "result" | "ability";
  id: number;
  value?: unknown;
}

export async function startNaive(answer: () => unknown): Promise<Naive> {
  const child = fork(new URL("./naive-child.ts", import.meta.url), {
    execArgv: ["--no-node-snapshot", "--no-warnings"],
    serialization: "advanced",
  });
  await once(child, "message");
  const calls = new Map<number, (value: unknown) => void>();
  let lastCall = 0;
  child.on("message", (message) => {
    const { type, id, value } = message as Message;
    if (type === "ability") child.send({ type: "answer", id, value: answer() as object });
    else {
      calls.get(id)?.(value);
      calls.delete(id);
    }
  });
  return {
    call: (handler, params) =>
      new Promise((resolve) => {
        lastCall += 1;
        calls.set(lastCall, resolve);
        child.send({ type: "call", id: lastCall, handler, params: params as object });
      }),
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}
