/** R: the round trip of a raw unix-socket echo between two Node processes, 200 bytes each way. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Echo extends Disposable {
  roundTrip(): Promise<void>;
}

export async function startEcho(bytes = 200): Promise<Echo> {
  const path = join(tmpdir(), `backplane-bench-${process.pid}-${Math.random().toString(36).slice(2)}.sock`);
  const child = fork(new URL("./echo-child.ts", import.meta.url), [path], { execArgv: ["--no-warnings"] });
  await once(child, "message");
  const socket = connect(path);
  await once(socket, "connect");
  const message = Buffer.alloc(bytes, "x");
  let got = 0;
  let answered: (() => void) | undefined;
  socket.on("data", (chunk: Buffer) => {
    got += chunk.length;
    if (got >= bytes) {
      got = 0;
      answered?.();
    }
  });
  return {
    roundTrip: () =>
      new Promise((resolve) => {
        answered = resolve;
        socket.write(message);
      }),
    [Symbol.dispose]() {
      socket.destroy();
      child.kill("SIGKILL");
      rmSync(path, { force: true });
    },
  };
}
