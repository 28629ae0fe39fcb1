/**
 * Fastify with the route table on it: authentication, organisation, schemas and problem documents are done here once, so
 * that a route is only its work. Nothing is open unless its row says so, and a route without a row cannot be served.
 */
import { createHash } from "node:crypto";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import type { Access } from "../../access/access.ts";
import { parseJson } from "../../base/json.ts";
import { BackplaneError } from "../../errors/error.ts";
import { childSpan, newTrace, parseTraceparent, type Trace } from "../../telemetry/trace.ts";
import { addRoute } from "./add-route.ts";
import { type Authorize, type Authorized, createAuthorize } from "./authorize.ts";
import { buildOpenApi } from "./openapi.ts";
import { answerClientError, createAnswerProblem, setProblems } from "./problems.ts";
import type { RouteSpec } from "./route.ts";

export interface HttpServerOptions {
  routes: readonly RouteSpec[];
  access: Pick<Access, "authenticate" | "organizationExists">;
  version: string;
  /** Requests per second and caller. @default 1000 */
  requestsPerSecond?: number;
  /** Proxies whose `x-forwarded-*` headers count: how many hops, or their addresses. @default none */
  trustProxy?: number | string;
  /** Bytes of a JSON body. @default 4194304 */
  bodyLimit?: number;
  /** Aborts when the hub begins to close: new requests get 503. */
  stopping?: AbortSignal;
  /** Told of every answered request; `route` is the pattern, `(none)` where no route matched. */
  observe?(answered: { method: string; route: string; status: number; ms: number }): void;
  onError?(error: unknown, context: { method: string; url: string; traceId: string }): void;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** The rule of the route's row. */
    access?: RouteSpec["access"];
    /** For the sentence of a 415. */
    contentTypes?: string;
  }
}

/** What a request's row and caller are, for the hook that asked and the handler that needs it. */
export interface HttpTools {
  authorize: Authorize;
  authorized(request: FastifyRequest): Authorized;
  traceOf(request: FastifyRequest): Trace;
}

const jsonLimit = 4 * 1024 * 1024;
const docsAccess: RouteSpec["access"] = { public: true, why: "the API's description is the same for everybody" };

export async function createHttpServer(options: HttpServerOptions): Promise<FastifyInstance> {
  const { bodyLimit = jsonLimit, requestsPerSecond = 1000 } = options;
  const traceOf = rememberTraces();
  const answerProblem = createAnswerProblem({ traceOf, ...(options.onError ? { onError: options.onError } : {}) });
  const app = Fastify({
    logger: false,
    bodyLimit,
    trustProxy: trusted(options.trustProxy),
    routerOptions: { maxParamLength: 400 },
    // Requests under way are answered at close; new ones are refused by the first hook.
    return503OnClosing: false,
    forceCloseConnections: "idle",
    requestTimeout: 120_000,
    http: { headersTimeout: 30_000 },
    frameworkErrors: (error, request, reply) => void answerProblem(error, request as FastifyRequest, reply),
    clientErrorHandler: (error, socket) => answerClientError(error, socket),
  });
  setProblems(app, answerProblem);
  const { observe } = options;
  if (observe)
    app.addHook("onResponse", async (request, reply) => {
      const { method, routeOptions } = request;
      observe({ method, route: routeOptions.url ?? "(none)", status: reply.statusCode, ms: reply.elapsedTime });
    });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, async (_request: FastifyRequest, body: Buffer) =>
    body.byteLength === 0 ? undefined : parseJson(body, bodyLimit),
  );

  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
  });
  const knownCallers = rememberCallers();
  await app.register(rateLimit, {
    global: false,
    max: requestsPerSecond * 10,
    timeWindow: 10_000,
    // A token counts for itself only once it has opened something: whoever makes up tokens shares the limit of their address.
    keyGenerator: (request) => knownCallers.of(request.headers.authorization) ?? request.ip,
    errorResponseBuilder: (_request, context) =>
      new BackplaneError("rate_limited", { retryAfter: Math.max(1, Math.ceil(context.ttl / 1000)) }),
  });
  app.addHook("onRequest", async () => {
    if (options.stopping?.aborted) throw new BackplaneError("shutting_down");
  });
  app.addHook("onRequest", app.rateLimit());
  const tools = guardRoutes(app, knownCallers.remember(createAuthorize(options.access)), traceOf);

  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, access: docsAccess };
    });
    await addDocs(scope, options);
  });
  for (const route of options.routes) addRoute(app, route, tools);
  return app;
}

/** Hop 0 is the connection itself: with one hop trusted, the last address that was added to the header counts. */
function trusted(proxy: HttpServerOptions["trustProxy"]): string | false | ((address: string, hop: number) => boolean) {
  return typeof proxy === "number" ? (_address, hop) => hop < proxy : (proxy ?? false);
}

/** The one hook that lets anybody in. It runs before the body is read: a stranger's bytes are not worth parsing. */
function guardRoutes(app: FastifyInstance, authorize: Authorize, traceOf: HttpTools["traceOf"]): HttpTools {
  const callers = new WeakMap<FastifyRequest, Authorized>();
  app.addHook("onRequest", async (request: FastifyRequest) => {
    // Here already, so that nobody's bytes are read for a path that is none.
    if (request.is404) throw new BackplaneError("not_found", { thing: "path" });
    const rule = request.routeOptions.config.access;
    if (!rule) throw new BackplaneError("forbidden", { role: "a rule in the route table" });
    callers.set(request, await authorize(request, rule));
  });
  const unruled: string[] = [];
  app.addHook("onRoute", (route) => {
    // Rules of the docs' own routes are set by a hook that comes after this one.
    queueMicrotask(() => {
      if (!route.config?.access) unruled.push(`${String(route.method)} ${route.url}`);
    });
  });
  app.addHook("onReady", async () => {
    if (unruled.length > 0) throw new Error(`routes without a rule in the table: ${unruled.join(", ")}`);
  });
  return { authorize, traceOf, authorized: (request) => callers.get(request)! };
}

async function addDocs(
  scope: FastifyInstance,
  { routes, version }: Pick<HttpServerOptions, "routes" | "version">,
): Promise<void> {
  await scope.register(swagger, {
    mode: "static",
    specification: { document: buildOpenApi(routes, { version, url: "/" }) as never },
  });
  await scope.register(swaggerUi, {
    routePrefix: "/api/docs",
    staticCSP: true,
    // Asking browsers for https would break a hub that is reached over plain http in a private network.
    transformStaticCSP: (header) => header.replace(" upgrade-insecure-requests;", ""),
  });
}

const maxKnownCallers = 10_000;

function rememberCallers(): {
  of(authorization: string | undefined): string | undefined;
  remember(authorize: Authorize): Authorize;
} {
  const known = new Set<string>();
  const hash = (authorization: string): string => createHash("sha256").update(authorization).digest("base64url");
  return {
    of(authorization) {
      const caller = authorization === undefined ? undefined : hash(authorization);
      return caller !== undefined && known.has(caller) ? caller : undefined;
    },
    remember: (authorize) => async (request, rule) => {
      const authorized = await authorize(request, rule);
      if (authorized.principal && request.headers.authorization !== undefined) {
        if (known.size >= maxKnownCallers) known.clear();
        known.add(hash(request.headers.authorization));
      }
      return authorized;
    },
  };
}

function rememberTraces(): (request: FastifyRequest) => Trace {
  const traces = new WeakMap<FastifyRequest, Trace>();
  return (request) => {
    let trace = traces.get(request);
    if (!trace) {
      const given = request.headers["traceparent"];
      const parent = typeof given === "string" ? parseTraceparent(given) : undefined;
      trace = parent ? childSpan(parent) : newTrace();
      traces.set(request, trace);
    }
    return trace;
  };
}
