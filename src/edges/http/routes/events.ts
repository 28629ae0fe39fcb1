/** Events, their consumers, and what could not be delivered. The stream is in event-stream.ts. */
import { z } from "zod";
import { decodeCursor, encodeCursor } from "../../../base/cursor.ts";
import { BackplaneError } from "../../../errors/error.ts";
import { hubConsumerOwner } from "../../../policy/consumers.ts";
import { assertOutsideEvent } from "../../../subscriptions/outside-event.ts";
import { formatTraceparent } from "../../../telemetry/trace.ts";
import { defineRoute, type RouteSpec } from "../route.ts";
import { eventSchema, listOf, page } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

export function eventRoutes({ eventLog, consumers, deliveries }: HttpServices): RouteSpec[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/events",
      summary: "Publish an event; the same id again is accepted once",
      tag: "events",
      access: { role: "member" },
      body: z.strictObject({
        type: z.string().min(1).max(200),
        data: z.unknown(),
        subject: z.string().min(1).max(512).optional(),
        id: z.string().min(1).max(200).optional(),
      }),
      success: { status: 202, schema: z.object({ id: z.string() }) },
      errors: ["invalid_input", "payload_too_large"],
      async handler({ organization, body, actor, trace }) {
        assertOutsideEvent(body);
        const { id } = await eventLog.accept({
          organization,
          type: body.type,
          source: `/api/${actor}`,
          data: body.data ?? null,
          subject: body.subject,
          id: body.id,
          traceparent: formatTraceparent(trace),
        });
        return { id };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/events",
      summary: "Read the event log, oldest first",
      tag: "events",
      access: { role: "viewer" },
      query: z.strictObject({
        ...page,
        type: z.string().max(200).optional(),
        after: z.string().max(2000).optional().describe("An event's id, or a `nextCursor`."),
      }),
      success: { status: 200, schema: listOf("events", eventSchema) },
      errors: ["invalid_cursor"],
      async handler({ organization, query }) {
        const { events, nextCursor } = await eventLog.query({
          organization,
          type: query.type,
          after: query.cursor ?? query.after,
          limit: query.limit,
        });
        return { events: events.map(({ event }) => event), nextCursor };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/consumers",
      summary: "Who gets which events, and how far behind they are; by name",
      tag: "events",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("consumers", z.record(z.string(), z.unknown())) },
      errors: ["invalid_cursor"],
      async handler({ organization, query: { limit, cursor } }) {
        const lags = new Map((await deliveries.lag(organization)).map((lag) => [lag.consumer, lag]));
        const after = cursor === undefined ? "" : String(decodeCursor(cursor, 1)[0]);
        const rest = (await consumers.list(organization))
          .filter(({ consumer, plugin }) => plugin !== hubConsumerOwner && consumer > after)
          .sort((a, b) => (a.consumer < b.consumer ? -1 : 1));
        const known = rest.slice(0, limit);
        const last = known.at(-1);
        return {
          consumers: known.map(({ consumer, plugin, pattern, active }) => {
            const lag = lags.get(consumer);
            return {
              consumer,
              plugin,
              pattern,
              active,
              pending: lag?.pending ?? 0,
              dead: lag?.dead ?? 0,
              oldestMs: lag?.oldestMs ?? 0,
            };
          }),
          nextCursor: rest.length > limit && last ? encodeCursor([last.consumer]) : null,
        };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/consumers/replay",
      summary: "Deliver past events to one consumer again",
      tag: "events",
      access: { role: "admin" },
      body: z.strictObject({ consumer: z.string().min(1).max(600), from: z.iso.datetime({ offset: true }) }),
      success: { status: 202, schema: z.object({ replayed: z.number() }) },
      errors: ["not_found"],
      async handler({ organization, body }) {
        // Features of the hub have their own ways to look at past events; to act on them again would send and run again.
        if (body.consumer.startsWith("hub:")) throw new BackplaneError("not_found", { thing: "consumer" });
        return {
          replayed: await deliveries.replay({ organization, consumer: body.consumer, from: new Date(body.from) }),
        };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/dead-letters",
      summary: "Deliveries that were given up, newest first",
      tag: "events",
      access: { role: "viewer" },
      query: z.strictObject({
        ...page,
        consumer: z.string().max(600).optional(),
        code: z.string().max(100).optional(),
      }),
      success: { status: 200, schema: listOf("deadLetters", z.record(z.string(), z.unknown())) },
      handler: ({ organization, query }) => deliveries.deadLetters.list({ organization, ...query }),
    }),
    defineRoute({
      method: "POST",
      path: "/api/dead-letters/retry",
      summary: "Try all again, or those of a consumer or a reason",
      tag: "events",
      access: { role: "member" },
      body: z.strictObject({ consumer: z.string().max(600).optional(), code: z.string().max(100).optional() }),
      success: { status: 202, schema: z.object({ retried: z.number() }) },
      handler: async ({ organization, body }) => ({
        retried: await deliveries.deadLetters.retryAll({ organization, ...body }),
      }),
    }),
    defineRoute({
      method: "POST",
      path: "/api/dead-letters/:id/retry",
      summary: "Try one again",
      tag: "events",
      access: { role: "member" },
      params: z.strictObject({ id: z.string().max(100) }),
      success: { status: 202, schema: z.object({ id: z.string() }) },
      errors: ["not_found"],
      async handler({ organization, params }) {
        await deliveries.deadLetters.retry(organization, params.id);
        return { id: params.id };
      },
    }),
  ];
}
