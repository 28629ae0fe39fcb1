/** What a route of the HTTP API is, as data: the router, the OpenAPI document and the tenancy test all read the same list. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Principal, Role } from "../../access/access.ts";
import type { OrganizationId } from "../../base/brands.ts";
import type { Trace } from "../../telemetry/trace.ts";

export type Access =
  /** Open to all; `why` is the rule that says so. */
  | { readonly public: true; readonly why: string }
  /** The hub admin's token only. */
  | { readonly hubAdmin: true }
  /** An API key of the organisation with at least this role, or the hub admin who names the organisation. */
  | { readonly role: Role };

export interface RouteCall<Params, Query, Body> {
  params: Params;
  query: Query;
  body: Body;
  /** Who calls; `undefined` on public routes. */
  principal: Principal | undefined;
  /** The organisation that the call is for; only on routes with a role. */
  organization: OrganizationId;
  /** For records: `hub_admin` or `key:<id>`. */
  actor: string;
  trace: Trace;
  /** Aborts when the caller goes away. */
  signal: AbortSignal;
  headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A body the route answers with, when it is not the plain JSON of `success`. */
export class Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Record<string, string>;
  constructor(status: number, body?: unknown, headers: Record<string, string> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

export interface RouteSpec<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> {
  /** `ANY`: whatever a client may send. */
  method: "GET" | "POST" | "PUT" | "DELETE" | "PATCH" | "ANY";
  /** With `:name` parameters; a last `*` takes the rest. */
  path: string;
  summary: string;
  tag: string;
  access: Access;
  params?: Params;
  query?: Query;
  /** A schema for JSON, or what raw bytes are taken (`*`: of any type). */
  body?: Body;
  raw?: { types: readonly string[]; maxBytes: number };
  /** A query that is no business of ours: of a plugin, or of a probe. @default false: what `query` does not name is refused */
  openQuery?: boolean;
  /** Status and shape of success. */
  success: { status: number; schema?: z.ZodType; description?: string; contentType?: string };
  /** Further answers that are no errors. */
  alsoAnswers?: readonly { status: number; schema: z.ZodType; description: string }[];
  /** Codes of the error table that are this route's own. */
  errors?: readonly string[];
  handler(call: RouteCall<z.infer<Params>, z.infer<Query>, z.infer<Body>>, http: RawHttp): Promise<unknown>;
}

/** For routes that write their answer themselves: they call `reply.hijack()` and return the reply. */
export interface RawHttp {
  request: FastifyRequest;
  reply: FastifyReply;
}

/** Infers the handler's types from the schemas. */
export function defineRoute<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  spec: RouteSpec<Params, Query, Body>,
): RouteSpec {
  return spec as unknown as RouteSpec;
}
