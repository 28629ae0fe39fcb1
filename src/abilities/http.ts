/**
 * `ctx.http`: one web request through the proxy lane. Needs `network:outbound:<host>` for every host on the way. Sealed
 * secrets are filled in per hop, toward their own hosts, and taken out of the answer; so are the access tokens of connections,
 * fresh for every request, and renewed once when a host answers one with 401.
 */
import { z } from "zod";
import type { AccessTokens } from "../connections/access-tokens.ts";
import type { Egress, EgressHop, EgressResponse } from "../egress/egress.ts";
import { tooLarge } from "../egress/read-body.ts";
import type { Installation } from "../installations/installations.ts";
import { defaultLimits } from "../policy/limits.ts";
import { grantedHosts, permits } from "../policy/permits.ts";
import { type ConnectionToken, noTokens } from "../secrets/installation-secrets.ts";
import type { KeptSecrets } from "../secrets/kept-secrets.ts";
import type { Redactor } from "../secrets/redactor.ts";
import { type Ability, bytesSchema, defineAbility, hasGrant, toBytes } from "./ability.ts";
import type { CallContext } from "./call-context.ts";
import type { SecretsOf } from "./installation-secrets-cache.ts";
import { assertMaySeal, sealAnswer, sealSchema } from "./seal-answer.ts";
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
  seal: sealSchema.optional(),
  /** Given when the plugin may abort the request. */
  id: z.string().max(20).optional(),
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
  /** Access tokens of connections. */
  tokens: Pick<AccessTokens, "use" | "all" | "accepted">;
  kept: KeptSecrets;
  /** Bytes of an answer's body. @default 3047424, which fit into one message to the guest */
  maxResponseBytes?: number;
}

export function createHttpAbilities(options: HttpOptions): Ability[] {
  const underWay = createAborts();
  const available = (installation: Installation): boolean => hasGrant(installation, "network:outbound");
  const fetch = createHttpAbility(options, underWay);
  return [
    fetch,
    defineAbility({
      name: "http.abort",
      oneWay: true,
      available,
      schema: z.tuple([z.string().max(20)]),
      run: async ({ context }, [id]) => underWay.abort(`${context.execution} ${id}`),
    }),
  ];
}

/** Requests that their plugin may abort, by execution and number. */
interface Aborts {
  /** A signal that aborts with `signal` too. `done` must be called. */
  follow(key: string, signal: AbortSignal): { signal: AbortSignal; done(): void };
  abort(key: string): void;
}

const maxEarly = 1_000;

function createAborts(): Aborts {
  const known = new Map<string, AbortController>();
  /** The word to abort may overtake the request. */
  const early = new Set<string>();
  return {
    follow(key, signal) {
      const controller = new AbortController();
      if (early.delete(key)) controller.abort();
      known.set(key, controller);
      return { signal: AbortSignal.any([signal, controller.signal]), done: () => void known.delete(key) };
    },
    abort(key) {
      const controller = known.get(key);
      if (controller) return controller.abort();
      if (early.size >= maxEarly) early.clear();
      early.add(key);
    },
  };
}

function createHttpAbility(
  { egress, secretsOf, tokens, kept, maxResponseBytes = bodyBytesWithin(defaultLimits.messageBytes) }: HttpOptions,
  aborts: Aborts,
): Ability {
  const takeTurns = createTurns({ perKey: maxAtOnce });
  return defineAbility({
    name: "http.fetch",
    available: (installation) => hasGrant(installation, "network:outbound"),
    schema: z.tuple([requestSchema]),
    async run({ context, signal: ofCall }, [request]) {
      const { installation } = context;
      if (request.seal) assertMaySeal(context);
      const secrets = await secretsOf(installation);
      const keeping = keepsSecrets(installation) ? await kept.of(installation) : undefined;
      const body =
        typeof request.body === "string" ? new TextEncoder().encode(request.body) : (request.body ?? undefined);
      const { signal, done } =
        request.id === undefined
          ? { signal: ofCall, done: () => {} }
          : aborts.follow(`${context.execution} ${request.id}`, ofCall);
      const until = Math.min(context.deadline, Date.now() + 30_000);
      /** Generations of the connections whose tokens went to the host that answered. */
      let used = new Map<string, number>();
      const exchange = (): Promise<EgressResponse> =>
        egress.fetch({
          url: request.url,
          method: request.method,
          headers: request.headers,
          ...(body === undefined ? {} : { body }),
          ...(request.redirect === undefined ? {} : { redirect: request.redirect }),
          allowedHosts: allowedHosts(context),
          partition: `${context.organization}/${installation.id}`,
          timeoutMs: Math.max(1, until - Date.now()),
          maxResponseBytes,
          signal,
          async onHop(hop: EgressHop) {
            const fillable = {
              url: hop.url,
              host: hop.host,
              headers: hop.headers.map(([name, value]) => [name, value] as [string, string]),
              body: hop.body,
              crossHost: hop.crossHost,
            };
            const given = new Map<string, ConnectionToken>();
            used = new Map();
            for (const name of secrets.connectionsIn(fillable)) {
              const { token, generation } = await tokens.use(installation, name);
              given.set(name, token);
              used.set(name, generation);
            }
            const filled = secrets.fill(
              fillable,
              given,
              permits(installation.grants, "secrets:keep") ? keeping?.lookUp : undefined,
            );
            return { ...hop, url: filled.request.url, headers: filled.request.headers, body: filled.request.body };
          },
          async onAnswer(raw) {
            // As it came: with a handle in the place of an earlier value, the handle would be what is sealed.
            const sealed = request.seal ? await sealAnswer(raw, { seal: request.seal, installation, kept }) : raw;
            const given = keeping ? redacted(sealed, keeping.redactorFor(new URL(raw.url).hostname)) : sealed;
            const connected = secrets.connections.length > 0;
            if (secrets.fields.length === 0 && !connected) return given;
            const redactor = secrets.answerRedactor(connected ? await tokens.all(installation) : noTokens);
            return redacted(given, redactor);
          },
        });
      const accepted = (given: EgressResponse): EgressResponse => {
        if (given.status !== 401)
          for (const [name, generation] of used) tokens.accepted(installation, name, generation);
        return given;
      };
      const answer = await takeTurns(installation.id, signal, async () => {
        const first = await exchange();
        if (first.status !== 401 || used.size === 0) return accepted(first);
        // The service took the token back before its time. Whoever refused it did nothing, so asking again is safe.
        const renewed = await Promise.all(
          [...used].map(async ([name, old]) => (await tokens.use(installation, name, old)).generation !== old),
        );
        return renewed.includes(true) ? accepted(await exchange()) : first;
      }).finally(done);
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

/** Whether the hub may keep any for it: also when that was taken back, since answers may still quote them. */
function keepsSecrets({ manifest }: Installation): boolean {
  return [...manifest.permissions, ...manifest.optionalPermissions].includes("secrets:keep");
}

function redacted(answer: EgressResponse, redactor: Redactor): EgressResponse {
  return {
    ...answer,
    statusText: redactor.text(answer.statusText),
    headers: answer.headers.map(([name, value]) => [name, redactor.text(value)]),
    body: redactor.bytes(answer.body),
  };
}

/** A pure call reaches the hosts of its operator, as far as they are granted. */
function allowedHosts({ installation, restriction }: CallContext): string[] {
  if (restriction?.kind !== "pure") return grantedHosts(installation.grants);
  return restriction.hosts.filter((host) => permits(installation.grants, `network:outbound:${host}`));
}
