/**
 * The services that a plugin under test speaks to: one server on this machine that the hub's guarded client is led to for
 * every granted host. It answers from scripts and keeps what it was sent, which is what really left the hub.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { HttpAnswer, HttpScript, RecordedRequest } from "../../plugin-api/src/testing.ts";
import type { EgressOverride, OverrideOrigin } from "../egress/override.ts";

export interface ScriptedServices extends AsyncDisposable {
  readonly override: EgressOverride;
  /** Adds a conversation: its scripts, in order, and what was sent to them. */
  open(scripts: readonly HttpScript[]): Conversation;
}

export interface Conversation extends Disposable {
  readonly requests: RecordedRequest[];
  /** Requests that no script answered. */
  readonly unanswered: RecordedRequest[];
}

interface Live extends Conversation {
  scripts: { script: HttpScript; used: number }[];
}

export async function createScriptedServices(): Promise<ScriptedServices> {
  const live: Live[] = [];
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(`The script failed: ${error instanceof Error ? error.message : String(error)}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo;

  async function answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await record(message);
    // Tests that run side by side are told apart by who has an answer; the newest is asked first.
    const newestFirst = live.toReversed();
    for (const conversation of newestFirst) {
      const turn = conversation.scripts.find(
        ({ script, used }) => used < (script.times ?? Number.POSITIVE_INFINITY) && matches(script, request),
      );
      if (!turn) continue;
      turn.used += 1;
      conversation.requests.push(request);
      const { answer: scripted } = turn.script;
      return send(response, typeof scripted === "function" ? await scripted(request) : scripted);
    }
    newestFirst[0]?.requests.push(request);
    newestFirst[0]?.unanswered.push(request);
    send(response, {
      status: 501,
      body: `No script answers ${request.method} ${request.url}. Give testPlugin({ http: [{ method: "${request.method}", url: "${request.url.split("?")[0]}", answer: … }] }).`,
    });
  }

  return {
    override: everyHost({ protocol: "http:", address: "127.0.0.1", port }),
    open(scripts) {
      const conversation: Live = {
        scripts: scripts.map((script) => ({ script, used: 0 })),
        requests: [],
        unanswered: [],
        [Symbol.dispose]() {
          live.splice(live.indexOf(conversation), 1);
        },
      };
      live.push(conversation);
      return conversation;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Leads every host here, and yet says that none is overridden, so that plain `http:` stays forbidden as in production. */
function everyHost(origin: OverrideOrigin): EgressOverride {
  class EveryHost extends Map<string, OverrideOrigin> {
    override get(): OverrideOrigin {
      return origin;
    }
  }
  return new EveryHost();
}

async function record(message: IncomingMessage): Promise<RecordedRequest> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers))
    headers[name] = Array.isArray(value) ? value.join(", ") : (value ?? "");
  const body = (await buffer(message)).toString("utf8");
  const request: RecordedRequest = {
    method: message.method ?? "GET",
    url: `https://${headers["host"] ?? ""}${message.url ?? ""}`,
    headers,
    body,
  };
  try {
    if (body !== "") request.json = JSON.parse(body);
  } catch {
    // No JSON.
  }
  return request;
}

export function matches({ method, url }: HttpScript, request: Pick<RecordedRequest, "method" | "url">): boolean {
  if (method !== undefined && method.toUpperCase() !== request.method) return false;
  if (url instanceof RegExp) return url.test(request.url);
  if (url.endsWith("*")) return request.url.startsWith(url.slice(0, -1));
  return url.includes("?")
    ? request.url === url
    : request.url.split("?")[0] === (url.endsWith("/") || new URL(url).pathname !== "/" ? url : `${url}/`);
}

function send(response: ServerResponse, { status = 200, headers = {}, body }: HttpAnswer): void {
  const plain = typeof body === "string" || body instanceof Uint8Array;
  const type =
    body === undefined
      ? {}
      : {
          "content-type":
            typeof body === "string"
              ? "text/plain; charset=utf-8"
              : plain
                ? "application/octet-stream"
                : "application/json",
        };
  response.writeHead(status, { ...type, ...headers });
  response.end(body === undefined ? undefined : plain ? body : JSON.stringify(body));
}
