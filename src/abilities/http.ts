/**
 * `ctx.http`: one web request through the proxy lane. Needs `network:outbound:<host>` for every host on the way. Sealed
 * secrets are filled in per hop, toward their own hosts, and taken out of the answer.
 */
import { z } from "zod";
import type { Egress, EgressHop } from "../egress/egress.ts";
import { tooLarge } from "../egress/read-body.ts";
import { defaultLimits } from "../policy/limits.ts";
import { type Ability, bytesSchema, defineAbility, hasGrant, toBytes } from "./ability.ts";
import type { SecretsOf } from "./installation-secrets-cache.ts";
import { createTurns } from "./turns.ts";

const requestSchema = z.object({
  url: z.string().max(16_384),
  method: z.string().max(20).default("GET"),
  headers: z
    .array(z.tuple([z.string().max(256), z.string().max(16_384)]))
    .max(100)
    .default([]),
  body: z.union([z.string(), bytesSchema]).nullish(),
  redirect: z.enum(["follow", "manual", "error"]).optional(),
});

/** Requests of one installation at once: what comes back is held in the hub's memory until the plugin has it. */
const maxAtOnce = 16;

/** What an answer has besides its body: status, address, headers, and the JSON around them. */
const envelopeBytes = 128 * 1024;

/** Bytes of a body that fit into one message: they travel as base64. */
export function bodyBytesWithin(messageBytes: number): number {
  return Math.floor(((messageBytes - envelopeBytes) * 3) / 4);
}

export interface HttpOptions {
  egress: Egress;
  secretsOf: SecretsOf;
  /** Bytes of an answer's body. @default 3047424, which fit into one message to the guest */
  maxResponseBytes?: number;
}

export function createHttpAbility({
  egress,
  secretsOf,
  maxResponseBytes = bodyBytesWithin(defaultLimits.messageBytes),
}: HttpOptions): Ability {
  const takeTurns = createTurns({ perKey: maxAtOnce });
  return defineAbility({
    name: "http.fetch",
    available: (installation) => hasGrant(installation, "network:outbound"),
    schema: z.tuple([requestSchema]),
    async run({ context, signal }, [request]) {
      const { installation } = context;
      const secrets = await secretsOf(installation);
      const body =
        typeof request.body === "string" ? new TextEncoder().encode(request.body) : (request.body ?? undefined);
      const answer = await takeTurns(installation.id, signal, () =>
        egress.fetch({
          url: request.url,
          method: request.method,
          headers: request.headers,
          ...(body === undefined ? {} : { body }),
          ...(request.redirect === undefined ? {} : { redirect: request.redirect }),
          allowedHosts: outboundHosts(installation.grants),
          partition: `${context.organization}/${installation.id}`,
          timeoutMs: Math.max(1, Math.min(30_000, context.deadline - Date.now())),
          maxResponseBytes,
          signal,
          onHop(hop: EgressHop) {
            const filled = secrets.fill({
              url: hop.url,
              host: hop.host,
              headers: hop.headers.map(([name, value]) => [name, value] as [string, string]),
              body: hop.body,
              crossHost: hop.crossHost,
            });
            return { ...hop, url: filled.request.url, headers: filled.request.headers, body: filled.request.body };
          },
          onAnswer(given) {
            if (secrets.fields.length === 0) return given;
            const redactor = secrets.answerRedactor();
            return {
              ...given,
              statusText: redactor.text(given.statusText),
              headers: given.headers.map(([name, value]) => [name, redactor.text(value)]),
              body: redactor.bytes(given.body),
            };
          },
        }),
      );
      // Handles in place of echoed secrets can make a body longer than what came.
      if (answer.body.byteLength > maxResponseBytes) throw tooLarge(new URL(answer.url).hostname, maxResponseBytes);
      return {
        status: answer.status,
        statusText: answer.statusText,
        url: answer.url,
        redirected: answer.redirected,
        headers: answer.headers,
        body: toBytes(answer.body),
      };
    },
  });
}

export function outboundHosts(grants: readonly string[]): string[] {
  const prefix = "network:outbound:";
  return grants.filter((grant) => grant.startsWith(prefix)).map((grant) => grant.slice(prefix.length));
}
