/** The OpenAPI 3.1 document, made from the route table: what a route checks and what it documents is one schema. */
import { z } from "zod";
import { errorTable } from "../../errors/table.ts";
import type { RouteSpec } from "./route.ts";

export type OpenApiDocument = Record<string, unknown> & { paths: Record<string, Record<string, unknown>> };

export function buildOpenApi(
  routes: readonly RouteSpec[],
  { version, url }: { version: string; url: string },
): OpenApiDocument {
  const paths: OpenApiDocument["paths"] = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, "{$1}").replace(/\/\*$/, "/{rest}");
    paths[path] ??= {};
    const methods = route.method === "ANY" ? anyMethods : [route.method.toLowerCase()];
    for (const method of methods) paths[path][method] = operation(route, method, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Backplane",
      version,
      description:
        "Plugins for organisations: publish, install, grant, configure, activate, call, and see what they did.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url }],
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "The hub admin's token, or an organisation's API key." },
      },
      schemas: { Problem: problemSchema },
      responses: {
        Problem: {
          description: "An error, RFC 9457.",
          content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
    },
    paths,
  };
}

const problemSchema = {
  type: "object",
  required: ["type", "title", "status", "detail", "code"],
  properties: {
    type: { type: "string", format: "uri" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string", enum: Object.keys(errorTable) },
    recovery: { type: "string" },
    errors: {
      type: "array",
      items: {
        type: "object",
        properties: { path: { type: "string" }, message: { type: "string" } },
        required: ["path", "message"],
      },
    },
    traceId: { type: "string" },
  },
};

/** Those that OpenAPI has a word for. */
const anyMethods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const bodyless = new Set(["get", "head", "delete", "options", "trace"]);

function operation(route: RouteSpec, method: string, path: string): Record<string, unknown> {
  const isPublic = "public" in route.access;
  const needsOrganization = "role" in route.access;
  const parameters = [
    ...parametersOf(route.params, "path"),
    ...parametersOf(route.query, "query"),
    ...(needsOrganization
      ? [
          {
            name: "x-organization-id",
            in: "header",
            required: false,
            schema: { type: "string" },
            description: "For the hub admin: the organisation meant.",
          },
        ]
      : []),
  ];
  const success = {
    description: route.success.description ?? (route.success.status === 204 ? "Done." : "Success."),
    ...(route.success.schema
      ? {
          content: {
            [route.success.contentType ?? "application/json"]: { schema: jsonSchema(route.success.schema, "output") },
          },
        }
      : {}),
  };
  const errorStatuses = new Set((route.errors ?? []).map((code) => errorTable[code as keyof typeof errorTable].status));
  if (!isPublic) for (const status of [401, 403]) errorStatuses.add(status as never);
  if (route.params || route.query || route.body) errorStatuses.add(400);
  return {
    summary: route.summary,
    tags: [route.tag],
    operationId: `${method}${path.replace(/[^A-Za-z0-9]+(.)?/g, (_, next: string | undefined) => (next ?? "").toUpperCase())}`,
    "x-access": route.access,
    ...(isPublic ? { security: [] } : { security: [{ bearer: [] }] }),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: { required: true, content: { "application/json": { schema: jsonSchema(route.body, "input") } } },
        }
      : {}),
    ...(route.raw && !bodyless.has(method)
      ? {
          requestBody: {
            required: route.method !== "ANY",
            content: Object.fromEntries(
              route.raw.types.map((type) => [
                type === "*" ? "*/*" : type,
                { schema: { type: "string", format: "binary" } },
              ]),
            ),
          },
        }
      : {}),
    responses: {
      [route.success.status]: success,
      ...Object.fromEntries(
        (route.alsoAnswers ?? []).map(({ status, schema, description }) => [
          status,
          { description, content: { "application/json": { schema: jsonSchema(schema, "output") } } },
        ]),
      ),
      ...Object.fromEntries(
        [...errorStatuses].sort().map((status) => [status, { $ref: "#/components/responses/Problem" }]),
      ),
    },
  };
}

function parametersOf(schema: z.ZodType | undefined, place: "path" | "query"): Record<string, unknown>[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, "input") as {
    properties?: Record<string, Record<string, unknown>>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, given]) => ({
    name: name === "*" ? "rest" : name,
    in: place,
    required: place === "path" || required.includes(name),
    schema: given,
  }));
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Record<string, unknown>;
  return rest;
}
