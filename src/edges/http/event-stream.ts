/** `GET /api/events/stream`: the event log as server-sent events (WHATWG HTML, section 9.2), resumable by `Last-Event-ID`. */
import type { FastifyInstance } from "fastify";
import type { EventLog } from "../../bus/event-log.ts";
import { BackplaneError } from "../../errors/error.ts";
import type { RouteSpec } from "./route.ts";
import type { HttpTools } from "./server.ts";

export const eventStreamAccess: RouteSpec["access"] = { role: "viewer" };

const heartbeatMs = 15_000;

export function registerEventStream(
  app: FastifyInstance,
  tools: HttpTools,
  { eventLog, stopping }: { eventLog: EventLog; stopping: AbortSignal },
): void {
  app.get("/api/events/stream", async (request, reply) => {
    const { organization } = await tools.authorize(request, eventStreamAccess, {});
    const { type, after } = request.query as { type?: unknown; after?: unknown };
    if ((type !== undefined && typeof type !== "string") || (after !== undefined && typeof after !== "string")) {
      throw new BackplaneError(
        "invalid_input",
        {},
        { errors: [{ path: "type", message: "give `type` and `after` once each" }] },
      );
    }
    const last = request.headers["last-event-id"];
    const from = typeof last === "string" && last !== "" ? last : after;
    // A wrong cursor is answered as an error, which is impossible once the stream has begun.
    if (from !== undefined) await eventLog.query({ organization: organization!, type, after: from, limit: 1 });

    const gone = new AbortController();
    request.raw.once("close", () => gone.abort());
    reply.raw.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopping]);
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      connection: "keep-alive",
    });
    raw.write("retry: 1000\n\n");
    const heartbeat = setInterval(() => raw.write(": still here\n\n"), heartbeatMs);
    try {
      for await (const { event, cursor } of eventLog.tail({ organization: organization!, type, after: from, signal })) {
        const written = raw.write(`id: ${cursor}\ndata: ${JSON.stringify(event)}\n\n`);
        if (!written)
          await new Promise<void>((resolve) => {
            raw.once("drain", resolve);
            signal.addEventListener("abort", () => resolve(), { once: true });
          });
        if (signal.aborted) break;
      }
    } catch (error) {
      if (!signal.aborted)
        raw.write(
          `event: problem\ndata: ${JSON.stringify({ code: error instanceof BackplaneError ? error.code : "internal" })}\n\n`,
        );
    } finally {
      clearInterval(heartbeat);
      raw.end();
    }
  });
}
