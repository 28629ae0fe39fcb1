/** Local servers for egress tests; closed with their connections when they go out of scope. */
import { createServer as createHttp, type RequestListener, type Server } from "node:http";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, createServer as createTcp, type Socket, type Server as TcpServer } from "node:net";
import type { TestCertificate } from "./test-certificate.ts";

export interface TestServer extends AsyncDisposable {
  port: number;
  origin: string;
  connections: number;
}

export async function startServer(listener: RequestListener, tls?: TestCertificate): Promise<TestServer> {
  const server = tls ? createHttps(tls, listener) : createHttp(listener);
  return await opened(server, tls ? "https" : "http", () => (server as Server).closeAllConnections());
}

/** A server that answers bytes of its own. */
export async function startRawServer(onConnection: (socket: Socket) => void): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createTcp((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  return await opened(server, "http", () => {
    for (const socket of sockets) socket.destroy();
  });
}

async function opened(server: TcpServer, scheme: string, drop: () => void): Promise<TestServer> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const handle = {
    port,
    origin: `${scheme}://127.0.0.1:${port}`,
    connections: 0,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      drop();
      await closed;
    },
  };
  server.on("connection", () => {
    handle.connections += 1;
  });
  return handle;
}
