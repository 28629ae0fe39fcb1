/** Starts a helper script of the benchmarks as a process of its own, with one request and one answer at a time. */
import { type ChildProcess, type ForkOptions, fork } from "node:child_process";

export interface Helper extends Disposable {
  pid: number;
  ask<Answer>(request: unknown): Promise<Answer>;
}

/** `script` is a URL such as `new URL("./echo-child.ts", import.meta.url)`. */
export function startHelper(script: URL, options: ForkOptions = {}): Helper {
  const child: ChildProcess = fork(script, {
    execArgv: ["--no-node-snapshot", "--no-warnings"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    ...options,
  });
  const waiting: PromiseWithResolvers<unknown>[] = [];
  child.on("message", (answer) => waiting.shift()?.resolve(answer));
  child.on("exit", (code, signal) => {
    for (const asked of waiting.splice(0)) asked.reject(new Error(`${script.pathname} ended with ${signal ?? code}`));
  });
  return {
    pid: child.pid!,
    ask<Answer>(request: unknown) {
      const asked = Promise.withResolvers<unknown>();
      waiting.push(asked);
      child.send(request as object);
      return asked.promise as Promise<Answer>;
    },
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}

/** The helper's side. */
export function serve(answer: (request: never) => Promise<unknown> | unknown): void {
  process.on("message", async (request) => {
    process.send!((await answer(request as never)) as object);
  });
  process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
}
