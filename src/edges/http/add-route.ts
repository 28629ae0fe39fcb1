/** One row of the table on the server: its input checked against its schemas, its result sent as it documents. */
import { METHODS } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import { z } from "zod";
import type { OrganizationId } from "../../base/brands.ts";
import { BackplaneError } from "../../errors/error.ts";
import { inputFaults, inputSentence } from "../../errors/input-faults.ts";
import { Answer, type RouteCall, type RouteSpec } from "./route.ts";
import type { HttpTools } from "./server.ts";

/** Whatever Node's parser takes, but for the one that opens a tunnel. */
const anyMethods = METHODS.filter((method) => method !== "CONNECT");
const nothing = z.strictObject({});

export function addRoute(app: FastifyInstance, route: RouteSpec, tools: HttpTools): void {
  const { raw } = route;
  if (!raw) {
    register(app, route, tools);
    return;
  }
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    const any = raw.types.includes("*");
    scope.addContentTypeParser(
      any ? "*" : [...raw.types],
      { parseAs: "buffer", bodyLimit: raw.maxBytes },
      async (_request: FastifyRequest, body: Buffer) => body,
    );
    if (any) scope.addHook("onRequest", takeAnyType);
    if (route.method === "ANY") for (const method of anyMethods) takeBodies(scope, method);
    register(scope, route, tools);
  });
}

function takeBodies(scope: FastifyInstance, method: string): void {
  if (!scope.supportedMethods.includes(method)) scope.addHttpMethod(method, { hasBody: true });
}

/** As they came, where the framework has seen another one. */
const contentTypes = new WeakMap<FastifyRequest, string>();

/** The framework refuses a content type that is empty or malformed; to a raw route it is a header like others. */
async function takeAnyType(request: FastifyRequest): Promise<void> {
  const given = request.headers["content-type"];
  if (given === undefined) return;
  contentTypes.set(request, given);
  request.headers["content-type"] = "application/octet-stream";
}

function register(scope: FastifyInstance, route: RouteSpec, tools: HttpTools): void {
  scope.route({
    method: route.method === "ANY" ? (anyMethods as HTTPMethods[]) : route.method,
    url: route.path,
    exposeHeadRoute: route.method === "GET",
    config: { access: route.access, contentTypes: route.raw?.types.join(", ") ?? "application/json" },
    ...(route.raw ? { bodyLimit: route.raw.maxBytes } : {}),
    async handler(request, reply) {
      const result = await route.handler(callOf(route, request, reply, tools), { request, reply });
      return result === reply ? reply : send(reply, route, result);
    },
  });
}

function callOf(
  route: RouteSpec,
  request: FastifyRequest,
  reply: FastifyReply,
  tools: HttpTools,
): RouteCall<unknown, unknown, unknown> {
  const { principal, organization, actor } = tools.authorized(request);
  const abort = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) abort.abort("the caller went away");
  });
  return {
    params: check(route.params ?? nothing, request.params, "params"),
    query: route.openQuery ? request.query : check(route.query ?? nothing, request.query, "query"),
    body: route.raw ? request.body : check(route.body ?? nothing, request.body, "body"),
    principal,
    organization: organization as OrganizationId,
    actor,
    trace: tools.traceOf(request),
    signal: abort.signal,
    headers: { ...request.headers, "content-type": contentTypes.get(request) ?? request.headers["content-type"] },
  };
}

function send(reply: FastifyReply, route: RouteSpec, result: unknown): FastifyReply {
  if (result instanceof Answer) return reply.code(result.status).headers(result.headers).send(result.body);
  if (route.success.status === 204) return reply.code(204).send();
  return reply.code(route.success.status).send(result);
}

/** No identifier, name or cursor has U+0000, and no text column can hold it; data in bodies may. Error: `invalid_input`. */
function refuseNul(values: Record<string, unknown>): void {
  const errors = Object.entries(values)
    .filter(([, value]) => String(value).includes("\0"))
    .map(([path]) => ({ path, message: "must not contain U+0000" }));
  if (errors.length > 0) throw new BackplaneError("invalid_input", {}, { errors });
}

/** Error: `invalid_input` with every fault. */
function check(schema: z.ZodType, value: unknown, place: "params" | "query" | "body"): unknown {
  if (place !== "body") refuseNul(value as Record<string, unknown>);
  const given = value === undefined && place === "body" ? {} : value;
  const parsed = schema.safeParse(given, { error: inputSentence });
  if (parsed.success) return parsed.data;
  throw new BackplaneError("invalid_input", {}, { errors: inputFaults(parsed.error) });
}
