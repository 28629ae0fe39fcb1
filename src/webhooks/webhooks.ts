/**
 * Inbound HTTP for plugins. The raw request is stored before anything else; the plugin's `webhook` handler then gives the
 * synchronous answer and names what it accepted; accepted items reach `handleIncomingEvent` later through the bus,
 * durably and once per item id. A plugin without a `webhook` handler accepts the request itself. Where items
 * go is `deliver`'s to say.
 */
import { createHash } from "node:crypto";
import { asOrganizationId, asPluginId, type OrganizationId, type PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { isObject } from "../base/json.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { Delivery } from "../bus/delivery.ts";
import { isStorableText } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { InvokeOutcome, Invoker } from "../invocation/invoker.ts";
import { pluginOfConsumer, webhookConsumer } from "../policy/consumers.ts";
import type { Store } from "../store/store.ts";
import { formatTraceparent, newTrace, type Trace } from "../telemetry/trace.ts";
import { createFloodGuard, type FloodGuardOptions } from "./flood-guard.ts";
import { type Answered, insertReceived, writeAnswered } from "./request-records.ts";

export interface InboundRequest {
  organization: OrganizationId;
  plugin: PluginId;
  method: string;
  /** Path and query below the public URL, as they came. */
  path: string;
  /** Names in lower case; repeated ones joined by comma. */
  headers: Record<string, string>;
  body: Uint8Array;
  trace?: Trace;
}

export interface InboundAnswer {
  status: number;
  headers: Record<string, string>;
  body: string | Uint8Array;
}

export interface WebhooksOptions {
  store: Store;
  installations: Installations;
  invoker: Invoker;
  deliveries: Deliveries;
  /** Takes an accepted item; the installation may be gone meanwhile. */
  deliver(delivery: Delivery, installation: Installation | undefined): Promise<void>;
  /** The hub's address as vendors see it, without a trailing slash. Read at each request: the port may be known late. */
  publicUrl(): string;
  /** Wall time of the handler, ms. @default 10000 */
  timeoutMs?: number;
  flood?: Omit<FloodGuardOptions, "store">;
}

export interface Webhooks {
  /** Errors: `not_found` (no such plugin, not active, or `network:inbound` not granted), `rate_limited`, and what the handler ran into. */
  receive(request: InboundRequest): Promise<InboundAnswer>;
  deleteReceivedBefore(before: Date): Promise<number>;
}

/**
 * Items of one plugin handled at once: three quarters of the calls that it may run by default. They share statements, and the
 * requests that come meanwhile must find room, or vendors wait for their answers behind items that wait for the database.
 */
const concurrency = 24;
const maxItems = 1000;
const maxAnswerBytes = 1024 * 1024;
/** Headers that belong to the connection, or would let a plugin act as the hub's own origin. */
const refusedHeaders = new Set([
  // Of the connection and the server.
  "connection",
  "content-length",
  "date",
  "early-data",
  "keep-alive",
  "server",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
  // Of the origin: they outlive the answer, or speak for other paths.
  "accept-ch",
  "alt-svc",
  "alt-used",
  "clear-site-data",
  "critical-ch",
  "expect-ct",
  "feature-policy",
  "link",
  "nel",
  "origin-agent-cluster",
  "origin-trial",
  "permissions-policy",
  "public-key-pins",
  "public-key-pins-report-only",
  "refresh",
  "report-to",
  "reporting-endpoints",
  "set-cookie",
  "set-cookie2",
  "speculation-rules",
  "strict-transport-security",
  "supports-loading-mode",
  // A dialogue that asks for a password in the hub's name.
  "www-authenticate",
  // Orders for a reverse proxy in front of the hub: to send a file, to fetch a path.
  "x-lighttpd-send-file",
  "x-litespeed-location",
  "x-lscache-control",
  "x-reproxy-url",
  "x-reproxy-file",
  "x-sendfile",
]);
const refusedFamilies =
  /^(?:access-control-|content-security-policy|cross-origin-|proxy-|sec-|service-worker|surrogate-|x-accel-)/;
const headerName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { store, installations, invoker, deliveries, timeoutMs = 10_000 } = options;
  const flood = createFloodGuard({ store, ...options.flood });
  const storeReceived = store.batchCommit(insertReceived, {
    sizeOf: ({ request }) => request.body.byteLength,
    oneStatement: true,
  });
  const storeAnswered = store.batchCommit((tx, answered: readonly Answered[]) =>
    writeAnswered(tx, deliveries, answered),
  );

  deliveries.handle(
    "webhook",
    async (delivery) => {
      const installation = await installations.find(
        asOrganizationId(delivery.organization),
        asPluginId(pluginOfConsumer(delivery.consumer)),
      );
      await options.deliver(delivery, installation);
    },
    { concurrency },
  );

  const open = async ({ organization, plugin }: InboundRequest): Promise<Installation> => {
    const installation = await installations.find(organization, plugin);
    if (installation?.status !== "active" || !installation.grants.includes("network:inbound")) {
      throw new BackplaneError("not_found", { thing: "webhook" });
    }
    return installation;
  };

  const readingOf = (request: InboundRequest, outcome: InvokeOutcome, raw: RawRequest): Reading => {
    try {
      return readOutcome(request, outcome, raw);
    } catch (error) {
      flood.unaccepted(request);
      throw error;
    }
  };

  return {
    async receive(request) {
      await open(request);
      flood.enter(request);
      const id = newId();
      const trace = request.trace ?? newTrace();
      const url = options.publicUrl() + request.path;
      await storeReceived({ request, id, url, traceparent: formatTraceparent(trace) });

      const raw = {
        method: request.method,
        url,
        headers: request.headers,
        rawBody: new TextDecoder().decode(request.body),
      };
      const outcome = await invoker.run({
        organization: request.organization,
        plugin: request.plugin,
        kind: "webhook",
        name: "webhook",
        args: [raw],
        actor: `webhook:${id}`,
        trace,
        timeoutMs,
      });
      const { answer, accepted } = readingOf(request, outcome, { id, ...raw });
      const refused = answer.status >= 400;
      if (refused) flood.unaccepted(request);
      await storeAnswered({
        organization: request.organization,
        id,
        status: answer.status,
        execution: outcome.record.id,
        forget: refused && accepted.length === 0,
        deliveries: accepted.map((item) => ({
          organization: request.organization,
          consumer: webhookConsumer(request.plugin),
          kind: "webhook" as const,
          key: keyOf(item),
          itemId: itemIdOf(item),
          payload: item,
          traceparent: formatTraceparent({ traceId: outcome.record.traceId, spanId: outcome.record.spanId }),
        })),
      });
      return answer;
    },
    async deleteReceivedBefore(before) {
      const gone = await store.db.deleteFrom("webhook_requests").where("received_at", "<", before).executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}

interface Reading {
  answer: InboundAnswer;
  accepted: unknown[];
}

interface RawRequest extends Record<string, unknown> {
  url: string;
}

function readOutcome(request: InboundRequest, { record, error }: InvokeOutcome, raw: RawRequest): Reading {
  // Nobody checked the caller's credentials, and the item is for everybody to see should it become a dead letter.
  if (error?.code === "handler_missing") {
    const { authorization: _authorization, ...headers } = request.headers;
    return { answer: { status: 200, headers: {}, body: "" }, accepted: [{ ...raw, headers }] };
  }
  if (error) throw error;
  const given = record.result;
  if (given === null || given === undefined) return { answer: { status: 200, headers: {}, body: "" }, accepted: [] };
  const invalid = (reason: string): BackplaneError =>
    new BackplaneError("result_invalid", { plugin: request.plugin, reason });
  if (!isObject(given)) throw invalid("a webhook handler returns an object {status?, headers?, body?, accept}");
  const { status = 200, headers = {}, body = "", accept = [] } = given;
  if (!Number.isInteger(status) || (status as number) < 200 || (status as number) > 599)
    throw invalid("`status` must be a whole number from 200 to 599");
  if (!isObject(headers)) throw invalid("`headers` must be an object");
  if (!Array.isArray(accept) || accept.length > maxItems)
    throw invalid(`\`accept\` must be an array of at most ${maxItems} items`);
  const answer: InboundAnswer = { status: status as number, headers: safeHeaders(headers, raw.url, invalid), body: "" };
  if (typeof body === "string") {
    answer.body = body;
  } else if (body !== null) {
    answer.body = JSON.stringify(body);
    answer.headers["content-type"] ??= "application/json";
  }
  if (Buffer.byteLength(answer.body) > maxAnswerBytes) throw invalid(`\`body\` is larger than ${maxAnswerBytes} bytes`);
  return { answer, accepted: accept };
}

/** The answer comes from the hub's origin, so what a plugin says there must not act as a page of it: see docs/sandbox-invariants.md. */
function safeHeaders(
  headers: Record<string, unknown>,
  url: string,
  invalid: (reason: string) => BackplaneError,
): Record<string, string> {
  const safe: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (
      !headerName.test(name) ||
      typeof value !== "string" ||
      !/^[\t\x20-\x7e\x80-\xff]*$/.test(value) ||
      value.length > 8192
    )
      throw invalid(`header '${name.slice(0, 100)}' is not valid`);
    const lower = name.toLowerCase();
    // The hub's address must not lend its name to a page elsewhere.
    if (lower === "location" && !staysWithin(value, url))
      throw invalid("`location` leads away from the hub; only paths of its own address are allowed");
    if (!refusedHeaders.has(lower) && !refusedFamilies.test(lower)) safe[lower] = value;
  }
  return safe;
}

/** As a browser reads it, which takes `\\` for `/` and drops line breaks and tabs. */
function staysWithin(location: string, url: string): boolean {
  return URL.canParse(location, url) && new URL(location, url).origin === new URL(url).origin;
}

function itemIdOf(item: unknown): string {
  const id = isObject(item) ? item["id"] : undefined;
  // Never cut: two long ids that begin alike are two items.
  if ((typeof id === "string" && id !== "") || typeof id === "number") return nameOf(String(id));
  return sha256(JSON.stringify(item) ?? "null");
}

/** Items with an equal `key` arrive in order; others are independent of each other. */
function keyOf(item: unknown): string {
  const key = isObject(item) ? item["key"] : undefined;
  return typeof key === "string" && key !== "" ? nameOf(key) : itemIdOf(item);
}

/** As the bus takes it: itself, or its hash when it is too long or holds what no index can. */
function nameOf(text: string): string {
  return text.length <= 200 && isStorableText(text) ? text : sha256(text);
}

function sha256(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
