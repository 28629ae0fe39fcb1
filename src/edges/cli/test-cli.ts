/** For tests: runs the command in this process against a small HTTP server, and collects what it wrote. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { CliDependencies } from "./cli.ts";
import { runCli } from "./program.ts";

export interface CliRun {
  code: number;
  out: string;
  err: string;
  json<T = Record<string, unknown>>(): T;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string;
  signal?: AbortSignal;
  dependencies?: Partial<CliDependencies>;
}

export async function runForTest(args: readonly string[], options: RunOptions = {}): Promise<CliRun> {
  const { env = {}, cwd = "/nowhere", stdin = "", signal = new AbortController().signal, dependencies = {} } = options;
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const [out, err] = [buffer(stdout), buffer(stderr)];
  const code = await runCli(
    args,
    { env, cwd, stdin: Readable.from([stdin]), stdout, stderr, signal },
    {
      version: "9.9.9",
      home: "/nowhere",
      testKit: new URL("file:///nowhere"),
      startHub: () => Promise.reject(new Error("no hub in this test")),
      readSettings: () => ({}),
      ...dependencies,
    },
  );
  stdout.end();
  stderr.end();
  const text = (await out).toString();
  return { code, out: text, err: (await err).toString(), json: () => JSON.parse(text) };
}

export interface FakeRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  bytes: Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into any body
  json: any;
}

export interface FakeAnswer {
  status?: number;
  body?: unknown;
}

export interface FakeHub extends AsyncDisposable {
  url: string;
  requests: FakeRequest[];
  /** Address, token and nothing of this machine. */
  env: Record<string, string>;
}

/** Routes by `METHOD /path`; the first that fits answers. Anything else is a 404 problem. */
export async function startFakeHub(
  routes: Record<string, FakeAnswer | ((request: FakeRequest) => FakeAnswer)>,
): Promise<FakeHub> {
  const requests: FakeRequest[] = [];
  const server = createServer(async (message, response) => {
    const url = new URL(message.url ?? "/", "http://hub");
    const bytes = await buffer(message);
    const isJson = message.headers["content-type"]?.includes("json") ?? false;
    const request: FakeRequest = {
      method: message.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      headers: message.headers,
      bytes,
      json: isJson ? JSON.parse(bytes.toString()) : undefined,
    };
    requests.push(request);
    const route = routes[`${request.method} ${request.path}`];
    const answer = typeof route === "function" ? route(request) : route;
    const { status = 200, body } = answer ?? problem(404, "not_found", "There is no such thing here.");
    response.writeHead(status, { "content-type": status >= 400 ? "application/problem+json" : "application/json" });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    requests,
    env: { BACKPLANE_URL: url, BACKPLANE_TOKEN: "bpa_test" },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function problem(status: number, code: string, detail: string, extra: object = {}): Required<FakeAnswer> {
  return { status, body: { type: "about:blank", title: code, status, detail, code, recovery: "none", ...extra } };
}

export const installed = (over: object = {}): Record<string, unknown> => ({
  id: "acme.greeter",
  name: "Greeter",
  version: "1.0.0",
  digest: null,
  runtime: "isolate",
  status: "active",
  statusReason: null,
  health: "healthy",
  healthReason: null,
  grants: [],
  pendingPermissions: [],
  config: {},
  installedAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
  ...over,
});
