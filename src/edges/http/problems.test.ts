import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { test } from "node:test";
import { z } from "zod";
import { defineRoute } from "./route.ts";
import { createHttpServer } from "./server.ts";

const take = defineRoute({
  method: "POST",
  path: "/take",
  summary: "Takes what comes",
  tag: "test",
  access: { public: true, why: "the test has nobody to ask" },
  body: z.unknown(),
  success: { status: 200 },
  handler: async () => ({}),
});

async function serve(): Promise<{ port: number; [Symbol.asyncDispose](): Promise<void> }> {
  const app = await createHttpServer({
    routes: [take],
    version: "1.0.0",
    access: { authenticate: async () => undefined, organizationExists: async () => true },
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  return { port: (app.server.address() as AddressInfo).port, [Symbol.asyncDispose]: () => app.close() };
}

const head = (length: string): string =>
  `POST /take HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\n${length}\r\n\r\n`;

for (const [name, length, piece] of [
  ["announced", `content-length: ${6 * 1024 * 1024}`, "x".repeat(64 * 1024)],
  ["streamed", "transfer-encoding: chunked", `10000\r\n${"x".repeat(64 * 1024)}\r\n`],
] as const)
  test(`who has been told that a body is too large, ${name}, may send the rest, and the next request`, async () => {
    await using server = await serve();
    const socket = connect(server.port, "127.0.0.1");
    let answers = "";
    socket.setEncoding("utf8").on("data", (text) => {
      answers += text;
    });
    const answered = async (status: number): Promise<void> => {
      while (!answers.includes(`HTTP/1.1 ${status} `))
        await once(socket, "data", { signal: AbortSignal.timeout(10_000) });
    };
    socket.write(head(length));
    // More than the limit before the answer is waited for, the rest after it.
    const pieces = 96;
    for (let sent = 0; sent < pieces; sent += 1) {
      if (sent === 72) await answered(413);
      socket.write(piece);
    }
    if (name === "streamed") socket.write("0\r\n\r\n");
    socket.write(`${head("content-length: 2")}{}`);
    await answered(200);
    socket.destroy();
  });
