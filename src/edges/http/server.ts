/**
 * Fastify with the route table on it: authentication, organisation, schemas and problem documents are done here once, so
 * that a route is only its work. Nothing is open unless its row says so.
 */
import { createHash } from "node:crypto";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { z } from "zod";
import { type Access, atLeast, type Principal } from "../../access/access.ts";
import { asOrganizationId, type OrganizationId } from "../../base/brands.ts";
import { parseJson } from "../../base/json.ts";
import { BackplaneError, type FieldError, toBackplaneError } from "../../errors/error.ts";
import { toProblem } from "../../errors/problem.ts";
import { childSpan, newTrace, parseTraceparent, type Trace } from "../../telemetry/trace.ts";
import { buildOpenApi } from "./openapi.ts";
import { Answer, type RouteSpec } from "./route.ts";

export interface HttpServerOptions {
  routes: readonly RouteSpec[];
  access: Pick<Access, "authenticate" | "organizationExists">;
  version: string;
  publicUrl(): string;
  /** Scopes of their own, such as webhooks and event streams. */
  extra?: ((app: FastifyInstance, tools: HttpTools) => Promise<void>)[];
  /** Requests per second and caller. @default 1000 */
  requestsPerSecond?: number;
  /** Bytes of a JSON body. @default 4194304 */
  bodyLimit?: number;
  onError?(error: unknown, context: { method: string; url: string; traceId: string }): void;
}

/** What scopes outside the table need to keep the same rules. */
export interface HttpTools {
  authorize(request: FastifyRequest, access: RouteSpec["access"], params: Record<string, unknown>): Promise<Authorized>;
  traceOf(request: FastifyRequest): Trace;
}

export interface Authorized {
  principal: Principal | undefined;
  organization: OrganizationId | undefined;
  actor: string;
}

const jsonLimit = 4 * 1024 * 1024;

export async function createHttpServer(options: HttpServerOptions): Promise<FastifyInstance> {
  const { bodyLimit = jsonLimit, requestsPerSecond = 1000 } = options;
  const app = Fastify({
    logger: false,
    bodyLimit,
    routerOptions: { maxParamLength: 400 },
    // Requests under way are answered at close; new ones get 503.
    return503OnClosing: true,
    forceCloseConnections: "idle",
    requestTimeout: 120_000,
    http: { headersTimeout: 30_000 },
  });
  const traces = new WeakMap<FastifyRequest, Trace>();
  const traceOf = (request: FastifyRequest): Trace => {
    let trace = traces.get(request);
    if (!trace) {
      const given = request.headers["traceparent"];
      const parent = typeof given === "string" ? parseTraceparent(given) : undefined;
      trace = parent ? childSpan(parent) : newTrace();
      traces.set(request, trace);
    }
    return trace;
  };

  setErrors(app, traceOf, options);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, async (_request: FastifyRequest, body: Buffer) =>
    body.byteLength === 0 ? undefined : parseJson(body, bodyLimit),
  );

  await app.register(helmet, {
    contentSecurityPolicy: { directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  await app.register(rateLimit, {
    max: requestsPerSecond * 10,
    timeWindow: 10_000,
    keyGenerator: (request) => {
      const bearer = request.headers.authorization;
      return bearer ? createHash("sha256").update(bearer).digest("base64url") : request.ip;
    },
    errorResponseBuilder: (_request, context) =>
      new BackplaneError("rate_limited", { retryAfter: Math.ceil(context.ttl / 1000) }),
  });

  const authorize: HttpTools["authorize"] = async (request, access, params) => {
    if ("public" in access) return { principal: undefined, organization: undefined, actor: "anonymous" };
    const principal = await options.access.authenticate(request.headers.authorization);
    if (!principal) throw new BackplaneError("unauthenticated");
    const actor = principal.kind === "hub_admin" ? "hub_admin" : `key:${principal.keyId}`;
    if ("hubAdmin" in access) {
      if (principal.kind !== "hub_admin") throw new BackplaneError("forbidden", { role: "the hub admin's token" });
      return { principal, organization: undefined, actor };
    }
    const organization = await organizationFor(principal, request, params);
    if (principal.kind === "key" && !atLeast(principal.role, access.role))
      throw new BackplaneError("forbidden", { role: `the role ${access.role}` });
    return { principal, organization, actor };
  };

  /** The path names it, or the header, or the key belongs to it; a key never reaches another organisation. */
  const organizationFor = async (
    principal: Principal,
    request: FastifyRequest,
    params: Record<string, unknown>,
  ): Promise<OrganizationId> => {
    const header = request.headers["x-organization-id"];
    const named =
      typeof params["org"] === "string"
        ? params["org"]
        : typeof header === "string" && header !== ""
          ? header
          : undefined;
    if (principal.kind === "key") {
      if (named !== undefined && named !== principal.organization)
        throw new BackplaneError("not_found", { thing: "organisation" });
      return principal.organization;
    }
    if (named === undefined) throw new BackplaneError("organization_required");
    if (!(await options.access.organizationExists(named)))
      throw new BackplaneError("not_found", { thing: "organisation" });
    return asOrganizationId(named);
  };

  const tools: HttpTools = { authorize, traceOf };
  await app.register(swagger, {
    mode: "static",
    specification: {
      document: buildOpenApi(options.routes, { version: options.version, url: options.publicUrl() }) as never,
    },
  });
  await app.register(swaggerUi, { routePrefix: "/api/docs", staticCSP: true, transformStaticCSP: (header) => header });
  for (const route of options.routes) addRoute(app, route, tools);
  for (const register of options.extra ?? []) await register(app, tools);
  return app;
}

function addRoute(app: FastifyInstance, route: RouteSpec, tools: HttpTools): void {
  const authorized = new WeakMap<FastifyRequest, Authorized>();
  const register = (scope: FastifyInstance): void => {
    scope.route({
      method: route.method,
      url: route.path,
      ...(route.raw ? { bodyLimit: route.raw.maxBytes } : {}),
      // Before the body is read: a stranger's bytes are not worth parsing.
      onRequest: async (request) => {
        authorized.set(
          request,
          await tools.authorize(request, route.access, request.params as Record<string, unknown>),
        );
      },
      handler: async (request, reply) => {
        const who = authorized.get(request)!;
        const abort = new AbortController();
        request.raw.socket.once("close", () => abort.abort("the caller went away"));
        const result = await route.handler({
          params: check(route.params, request.params, "params"),
          query: check(route.query, request.query, "query"),
          body: route.raw ? request.body : check(route.body, request.body, "body"),
          principal: who.principal,
          organization: who.organization as OrganizationId,
          actor: who.actor,
          trace: tools.traceOf(request),
          signal: abort.signal,
          headers: request.headers,
        });
        return send(reply, route, result);
      },
    });
  };
  const { raw } = route;
  if (!raw) {
    register(app);
    return;
  }
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      [...raw.types],
      { parseAs: "buffer", bodyLimit: raw.maxBytes },
      async (_request: FastifyRequest, body: Buffer) => body,
    );
    register(scope);
  });
}

function send(reply: FastifyReply, route: RouteSpec, result: unknown): FastifyReply {
  if (result instanceof Answer) return reply.code(result.status).headers(result.headers).send(result.body);
  if (route.success.status === 204) return reply.code(204).send();
  return reply.code(route.success.status).send(result);
}

/** Error: `invalid_input` with every fault. */
function check(schema: z.ZodType | undefined, value: unknown, place: "params" | "query" | "body"): unknown {
  if (!schema) return undefined;
  const parsed = schema.safeParse(value === undefined && place === "body" ? {} : value);
  if (parsed.success) return parsed.data;
  const errors: FieldError[] = parsed.error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({ path: [...issue.path, key].join("."), message: "is not a known field" }))
      : [{ path: issue.path.length > 0 ? issue.path.join(".") : "$", message: issue.message }],
  );
  throw new BackplaneError("invalid_input", {}, { errors });
}

function setErrors(
  app: FastifyInstance,
  traceOf: (request: FastifyRequest) => Trace,
  options: HttpServerOptions,
): void {
  const answer = (request: FastifyRequest, reply: FastifyReply, error: BackplaneError): FastifyReply => {
    const { traceId } = traceOf(request);
    if (error.row.status >= 500 && error.row.audience !== "author")
      options.onError?.(error, { method: request.method, url: request.url, traceId });
    const problem = toProblem(error, traceId);
    if (error.code === "unauthenticated") reply.header("www-authenticate", "Bearer");
    if (problem.retryAfter !== undefined) reply.header("retry-after", String(problem.retryAfter));
    else if (problem.status === 503 || problem.status === 429) reply.header("retry-after", "1");
    return reply
      .code(problem.status)
      .type("application/problem+json")
      .send({ ...problem, ...(error.details["problem"] as object | undefined) });
  };
  app.setErrorHandler((error, request, reply) => answer(request, reply, fromFastify(error, request)));
  app.setNotFoundHandler((request, reply) =>
    answer(request, reply, new BackplaneError("not_found", { thing: "path" })),
  );
}

/** Fastify's own errors, in our words. */
function fromFastify(error: unknown, request: FastifyRequest): BackplaneError {
  if (error instanceof BackplaneError) return error;
  const code = (error as { code?: string }).code;
  switch (code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new BackplaneError("payload_too_large", {
        size: request.headers["content-length"] ?? "more",
        limit: request.routeOptions.bodyLimit,
      });
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return new BackplaneError("unsupported_media_type", {
        type: String(request.headers["content-type"] ?? "none").slice(0, 100),
        expected: "the type this path documents",
      });
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
    case "FST_ERR_CTP_EMPTY_JSON_BODY":
      return new BackplaneError("invalid_json", { reason: "the body does not have the announced length" });
    case "FST_ERR_BAD_URL":
      return new BackplaneError("not_found", { thing: "path" });
    default: {
      const status = (error as { statusCode?: number }).statusCode;
      if (status === 400) return new BackplaneError("invalid_json", { reason: "the request cannot be read" });
      return toBackplaneError(error);
    }
  }
}
