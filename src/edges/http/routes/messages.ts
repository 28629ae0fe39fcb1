/** Messages to people and from them, and the channels they travel by. */
import { z } from "zod";
import { callSchema, faxSchema, sendSchema } from "../../../channels/send-request.ts";
import { storableText } from "../../../channels/storable-text.ts";
import { pageOf } from "../page-of.ts";
import { Answer, defineRoute, type RouteSpec } from "../route.ts";
import { listOf, page, pluginParams } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const idParams = z.strictObject({ id: z.string().min(1).max(200) });
const messageSchema = z.looseObject({ id: z.string(), attempts: z.array(z.record(z.string(), z.unknown())) });
const channelErrors = ["not_found", "channel_unavailable", "plugin_not_active", "plugin_quarantined"] as const;
const callErrors = [
  ...channelErrors,
  "function_not_found",
  "plugin_error",
  "result_invalid",
  "deadline_exceeded",
  "runner_lost",
  "rate_limited",
] as const;

export function messageRoutes({ channels }: Pick<HttpServices, "channels">): RouteSpec[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/messages",
      summary: "Queue a message to somebody; the same idempotency key again gives the same message",
      tag: "messages",
      access: { role: "member" },
      body: sendSchema,
      success: { status: 202, schema: z.object({ id: z.string() }) },
      errors: [...channelErrors, "channel_ambiguous", "no_address", "conflict"],
      async handler({ organization, actor, trace, body }) {
        const { id } = await channels.send({ organization, actor, trace }, body);
        return { id };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/messages",
      summary: "Messages in and out, newest first",
      tag: "messages",
      access: { role: "viewer" },
      query: z.strictObject({
        ...page,
        direction: z.enum(["inbound", "outbound"]).optional(),
        channel: storableText(63).optional(),
        contactId: storableText(200).optional(),
        conversationId: storableText(200).optional(),
        status: storableText(64).optional(),
      }),
      success: { status: 200, schema: listOf("messages", z.record(z.string(), z.unknown())) },
      errors: ["invalid_cursor"],
      handler: ({ organization, query }) => channels.list(organization, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/messages/:id",
      summary: "One message; an outbound one with every attempt to deliver it",
      tag: "messages",
      access: { role: "viewer" },
      params: idParams,
      success: { status: 200, schema: messageSchema },
      errors: ["not_found"],
      handler: ({ organization, params }) => channels.get(organization, params.id),
    }),
    defineRoute({
      method: "POST",
      path: "/api/messages/:id/cancel",
      summary: "Cancel a message that is still queued",
      tag: "messages",
      access: { role: "member" },
      params: idParams,
      success: { status: 200, schema: messageSchema },
      errors: ["not_found", "conflict"],
      handler: ({ organization, params }) => channels.cancel(organization, params.id),
    }),
    defineRoute({
      method: "GET",
      path: "/api/channels",
      summary: "Installed plugins that carry messages, calls or faxes; by id",
      tag: "messages",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("channels", z.record(z.string(), z.unknown())) },
      errors: ["invalid_cursor"],
      async handler({ organization, query }) {
        const { items, nextCursor } = pageOf(await channels.channels(organization), ({ id }) => id, query);
        return { channels: items, nextCursor };
      },
    }),
    defineRoute({
      method: "PUT",
      path: "/api/channels/:id/default",
      summary: "Make the plugin the one for a type of channel that several have",
      tag: "messages",
      access: { role: "admin" },
      params: pluginParams,
      body: z.strictObject({ channel: storableText(63).min(1) }),
      success: { status: 204 },
      errors: ["not_found", "channel_unavailable"],
      async handler({ organization, actor, params, body }) {
        await channels.setDefault({ organization, actor }, params.id, body.channel);
        return new Answer(204);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/channels/:id/calls",
      summary: "Place a call",
      tag: "messages",
      access: { role: "member" },
      params: pluginParams,
      body: callSchema,
      success: {
        status: 201,
        schema: z.object({ id: z.string(), status: z.string(), startedAt: z.string().nullable() }),
      },
      errors: [...callErrors],
      handler: ({ organization, actor, trace, signal, params, body }) =>
        channels.placeCall({ organization, actor, trace, signal }, params.id, body),
    }),
    defineRoute({
      method: "POST",
      path: "/api/channels/:id/faxes",
      summary: "Send a fax",
      tag: "messages",
      access: { role: "member" },
      params: pluginParams,
      body: faxSchema,
      success: { status: 201, schema: z.object({ externalId: z.string().nullable(), status: z.string() }) },
      errors: [...callErrors],
      handler: ({ organization, actor, trace, signal, params, body }) =>
        channels.sendFax({ organization, actor, trace, signal }, params.id, body),
    }),
    defineRoute({
      method: "POST",
      path: "/api/channels/:id/tokens",
      summary: "A short-lived token with which a browser or phone client of a user takes part; it is not recorded",
      tag: "messages",
      access: { role: "member" },
      params: pluginParams,
      body: z.strictObject({ userId: storableText(200).min(1) }),
      success: { status: 201, schema: z.object({ token: z.string() }) },
      errors: [...callErrors],
      handler: async ({ organization, actor, trace, signal, params, body }) => ({
        token: await channels.accessToken({ organization, actor, trace, signal }, params.id, body.userId),
      }),
    }),
  ];
}
