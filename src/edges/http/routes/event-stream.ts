/** `GET /api/events/stream`: the event log as server-sent events (WHATWG HTML, section 9.2), resumable by `Last-Event-ID`. */
import type { ServerResponse } from "node:http";
import { z } from "zod";
import type { PositionedEvent } from "../../../bus/event-log.ts";
import { BackplaneError } from "../../../errors/error.ts";
import { defineRoute, type RouteSpec } from "../route.ts";
import type { HttpServices } from "../services.ts";

const heartbeatMs = 15_000;

/** Each open stream reads the log once for every event of its organisation, so one organisation may not open any number. */
const maxStreams = 100;

export function eventStreamRoute(
  { eventLog, access }: Pick<HttpServices, "eventLog" | "access">,
  stopping: AbortSignal,
): RouteSpec {
  const open = new Map<string, number>();
  return defineRoute({
    method: "GET",
    path: "/api/events/stream",
    summary: "Follow the event log as server-sent events",
    tag: "events",
    access: { role: "viewer" },
    query: z.strictObject({
      type: z.string().max(200).optional(),
      after: z
        .string()
        .max(2000)
        .optional()
        .describe("An event's id or a cursor; `Last-Event-ID` goes before it. Without either: from now on."),
    }),
    success: {
      status: 200,
      contentType: "text/event-stream",
      schema: z.string(),
      description: "Each message holds one event as `data` and a cursor as `id`; comments keep the connection alive.",
    },
    errors: ["invalid_cursor", "rate_limited"],
    async handler({ organization, query: { type, after }, headers }, { request, reply }) {
      const last = headers["last-event-id"];
      const from = typeof last === "string" && last !== "" ? last : after;
      // A wrong cursor or type is answered as an error, which is impossible once the stream has begun.
      await eventLog.query({ organization, type, after: from, limit: 1 });

      const streams = open.get(organization) ?? 0;
      if (streams >= maxStreams) throw new BackplaneError("rate_limited", { retryAfter: 30 });
      open.set(organization, streams + 1);
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort());
      const signal = AbortSignal.any([gone.signal, stopping]);
      const stream = openStream(reply.hijack().raw, signal, headersOf(reply.getHeaders()));
      // A key that was taken back must not go on listening.
      const recheck = setInterval(() => {
        stream.comment("still here");
        access.authenticate(request.headers.authorization).then(
          (principal) => principal ?? gone.abort(),
          () => {},
        );
      }, heartbeatMs);
      try {
        for await (const positioned of eventLog.tail({ organization, type, after: from, signal })) {
          await stream.event(positioned);
          if (signal.aborted) break;
        }
      } catch (error) {
        if (!signal.aborted) stream.problem(error);
      } finally {
        clearInterval(recheck);
        const left = (open.get(organization) ?? 1) - 1;
        if (left > 0) open.set(organization, left);
        else open.delete(organization);
        reply.raw.end();
      }
      return reply;
    },
  });
}

interface EventStream {
  comment(text: string): void;
  /** Resolves when the reader has room for more. */
  event(positioned: PositionedEvent): Promise<void>;
  problem(error: unknown): void;
}

function openStream(raw: ServerResponse, signal: AbortSignal, headers: Record<string, string>): EventStream {
  raw.writeHead(200, {
    ...headers,
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    connection: "close",
    "x-accel-buffering": "no",
  });
  raw.write("retry: 1000\n\n");
  return {
    comment: (text) => void raw.write(`: ${text}\n\n`),
    async event({ event, cursor }) {
      if (raw.write(`id: ${cursor}\ndata: ${JSON.stringify(event)}\n\n`) || signal.aborted) return;
      await new Promise<void>((resolve) => {
        raw.once("drain", resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    },
    problem: (error) =>
      void raw.write(
        `event: problem\ndata: ${JSON.stringify({ code: error instanceof BackplaneError ? error.code : "internal" })}\n\n`,
      ),
  };
}

/** A hijacked reply sends its headers itself; those that hooks have set, the security headers, still count. */
function headersOf(headers: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}
