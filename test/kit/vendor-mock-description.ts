/**
 * Reads a vendor's own description of its API into one list of operations: OpenAPI 3.x, Swagger 2.0, and Google's discovery
 * documents. Schemas stay as the vendor wrote them; `vendor-mock-schemas.ts` makes checks of them.
 */
import { isObject } from "../../src/base/json.ts";

export type Json = Record<string, unknown>;

export interface VendorOperation {
  /** The vendor's operation id, else method and path. */
  id: string;
  method: string;
  /** With the server's base path, such as `/fdc/v1/food/{fdcId}`. */
  path: string;
  hosts: string[];
  parameters: VendorParameter[];
  /** Schema by content type; empty: it takes no body. */
  bodies: ReadonlyMap<string, unknown>;
  bodyRequired: boolean;
  /** By `200`, `2XX` or `default`: schema by content type, none for an answer without a body. */
  answers: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
  /** Any one of these sets lets a request in; none: open to all. */
  security: Credential[][];
  /** Path parameters, decoded; `undefined` when the path is another's. */
  match(pathname: string): Record<string, string> | undefined;
  /** How many segments are written out: of two that match, the more literal one is meant. */
  literal: number;
  /** The operation as the vendor wrote it. */
  raw: Json;
}

export interface VendorParameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  schema: unknown;
  /** How a list is written: `?a=1&a=2`, or joined by this. */
  join?: string;
}

export type Credential = { kind: "bearer" } | { kind: "basic" } | { kind: "key"; in: "header" | "query"; name: string };

export interface VendorDescription {
  document: Json;
  operations: VendorOperation[];
}

const methods = ["get", "put", "post", "delete", "patch", "head", "options"];

export function readDescription(document: Json): VendorDescription {
  const read = isObject(document["resources"])
    ? readDiscovery
    : document["swagger"] === "2.0"
      ? readSwagger
      : readOpenApi;
  return { document, operations: read(document) };
}

/** What a local reference stands for. A discovery document's references are bare names. */
export function resolveReference(document: Json, reference: string): unknown {
  const pointer = reference.startsWith("#") ? reference.slice(1) : `/schemas/${reference}`;
  let found: unknown = document;
  for (const part of pointer.split("/").slice(1)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    found = isObject(found) || Array.isArray(found) ? (found as Json)[key] : undefined;
  }
  if (found === undefined) throw new Error(`the description has nothing at ${reference}`);
  return found;
}

function readOpenApi(document: Json): VendorOperation[] {
  const schemes = objectAt(objectAt(document, "components"), "securitySchemes");
  return pathItems(document).flatMap(([path, item]) =>
    operationsOf(item).map(([method, raw]) => {
      const servers = list(raw["servers"] ?? item["servers"] ?? document["servers"]).map(
        (server) => new URL(String((server as Json)["url"])),
      );
      const body = deref(document, raw["requestBody"]);
      return operation({
        method,
        path: (servers[0]?.pathname ?? "/").replace(/\/$/, "") + path,
        hosts: [...new Set(servers.map((server) => server.host))],
        parameters: parametersOf(document, item, raw).map((parameter) => openApiParameter(parameter)),
        bodies: contentOf(body),
        bodyRequired: body["required"] === true,
        answers: answersOf(document, raw, contentOf),
        security: securityOf(schemes, raw["security"] ?? document["security"]),
        raw,
      });
    }),
  );
}

function openApiParameter(parameter: Json): VendorParameter {
  const schema = parameter["schema"] ?? [...contentOf(parameter).values()][0] ?? {};
  return {
    name: String(parameter["name"]),
    in: parameter["in"] as VendorParameter["in"],
    required: parameter["required"] === true,
    schema,
    ...(parameter["explode"] === false || parameter["in"] !== "query" ? { join: "," } : {}),
  };
}

function contentOf(holder: Json): Map<string, unknown> {
  return new Map(
    Object.entries(objectAt(holder, "content")).map(([type, media]) => [type, (media as Json)["schema"] ?? {}]),
  );
}

function readSwagger(document: Json): VendorOperation[] {
  const schemes = objectAt(document, "securityDefinitions");
  const base = String(document["basePath"] ?? "/").replace(/\/$/, "");
  return pathItems(document).flatMap(([path, item]) =>
    operationsOf(item).map(([method, raw]) => {
      const all = parametersOf(document, item, raw);
      const body = all.find((parameter) => parameter["in"] === "body");
      const form = all.filter((parameter) => parameter["in"] === "formData");
      const consumes = list(raw["consumes"] ?? document["consumes"] ?? ["application/json"]).map(String);
      const produces = list(raw["produces"] ?? document["produces"] ?? ["application/json"]).map(String);
      const formType = consumes.find((type) => type.includes("form")) ?? "application/x-www-form-urlencoded";
      return operation({
        method,
        path: base + path,
        hosts: [String(document["host"])],
        parameters: all
          .filter((parameter) => ["path", "query", "header"].includes(String(parameter["in"])))
          .map((parameter) => ({
            name: String(parameter["name"]),
            in: parameter["in"] as VendorParameter["in"],
            required: parameter["required"] === true,
            schema: parameter,
            ...(parameter["collectionFormat"] === "multi"
              ? {}
              : { join: parameter["collectionFormat"] === "pipes" ? "|" : "," }),
          })),
        bodies: body
          ? new Map(consumes.map((type) => [type, body["schema"]]))
          : new Map(form.length > 0 ? [[formType, formSchema(form)]] : []),
        bodyRequired: body?.["required"] === true || form.some((parameter) => parameter["required"] === true),
        answers: answersOf(document, raw, (answer) =>
          answer["schema"] === undefined ? new Map() : new Map(produces.map((type) => [type, answer["schema"]])),
        ),
        security: securityOf(schemes, raw["security"] ?? document["security"]),
        raw,
      });
    }),
  );
}

function formSchema(fields: readonly Json[]): Json {
  return {
    type: "object",
    properties: Object.fromEntries(fields.map((field) => [field["name"], { ...field, required: undefined }])),
    required: fields.filter((field) => field["required"] === true).map((field) => field["name"]),
  };
}

function readDiscovery(document: Json): VendorOperation[] {
  const { host, pathname } = new URL(String(document["servicePath"] ?? ""), String(document["rootUrl"]));
  const common = Object.entries(objectAt(document, "parameters"));
  const found: VendorOperation[] = [];
  const visit = (resource: Json): void => {
    for (const raw of Object.values(objectAt(resource, "methods")) as Json[]) {
      const request = raw["request"];
      const response = raw["response"];
      found.push(
        operation({
          method: String(raw["httpMethod"]),
          path: pathname + String(raw["path"]),
          hosts: [host],
          parameters: [...common, ...Object.entries(objectAt(raw, "parameters"))].map(([name, schema]) => ({
            name,
            in: (schema as Json)["location"] as VendorParameter["in"],
            required: (schema as Json)["required"] === true,
            schema:
              (schema as Json)["repeated"] === true
                ? { type: "array", items: { ...(schema as Json), required: undefined } }
                : { ...(schema as Json), required: undefined },
          })),
          bodies: new Map(request === undefined ? [] : [["application/json", request]]),
          bodyRequired: request !== undefined,
          answers: new Map([["200", new Map(response === undefined ? [] : [["application/json", response]])]]),
          security: raw["scopes"] === undefined ? [] : [[{ kind: "bearer" }]],
          raw: { ...raw, operationId: raw["id"] },
        }),
      );
    }
    for (const child of Object.values(objectAt(resource, "resources"))) visit(child as Json);
  };
  visit(document);
  return found;
}

function operation(parts: Omit<VendorOperation, "id" | "match" | "literal">): VendorOperation {
  const { method, path, raw, parameters } = parts;
  const names: string[] = [];
  // `{+name}` stands for several segments, and then its pattern tells one operation from another.
  const pattern = path
    .split(/(\{[^}]+\})/)
    .map((part) => {
      if (!part.startsWith("{")) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const wide = part.startsWith("{+");
      names.push(part.slice(wide ? 2 : 1, -1));
      return wide ? "(.+)" : "([^/]+)";
    })
    .join("");
  const expression = new RegExp(`^${pattern}$`);
  const patterns = new Map(
    parameters
      .filter((parameter) => path.includes(`{+${parameter.name}}`) && isObject(parameter.schema))
      .map(({ name, schema }) => [name, new RegExp(String((schema as Json)["pattern"] ?? ""))]),
  );
  return {
    ...parts,
    id: typeof raw["operationId"] === "string" ? raw["operationId"] : `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase(),
    literal: path.split("/").filter((segment) => !segment.includes("{")).length,
    match(pathname) {
      const found = expression.exec(pathname);
      if (!found) return undefined;
      const values = Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(found[at + 1]!)]));
      return [...patterns].every(([name, wanted]) => wanted.test(values[name]!)) ? values : undefined;
    },
  };
}

function answersOf(
  document: Json,
  raw: Json,
  content: (answer: Json) => Map<string, unknown>,
): Map<string, Map<string, unknown>> {
  return new Map(
    Object.entries(objectAt(raw, "responses")).map(([status, answer]) => [
      status.toUpperCase() === "DEFAULT" ? "default" : status.toUpperCase(),
      content(deref(document, answer)),
    ]),
  );
}

/** An operation's parameters over those of its path. */
function parametersOf(document: Json, item: Json, raw: Json): Json[] {
  const merged = new Map<string, Json>();
  for (const entry of [...list(item["parameters"]), ...list(raw["parameters"])]) {
    const parameter = deref(document, entry);
    merged.set(`${parameter["in"]}:${parameter["name"]}`, parameter);
  }
  return [...merged.values()];
}

function securityOf(schemes: Json, requirements: unknown): Credential[][] {
  return list(requirements).map((requirement) =>
    Object.keys(requirement as Json).flatMap((name): Credential[] => {
      const scheme = objectAt(schemes, name);
      const type = String(scheme["type"]);
      if (type === "apiKey" && (scheme["in"] === "header" || scheme["in"] === "query"))
        return [{ kind: "key", in: scheme["in"], name: String(scheme["name"]) }];
      if (type === "basic" || (type === "http" && String(scheme["scheme"]).toLowerCase() === "basic"))
        return [{ kind: "basic" }];
      return [{ kind: "bearer" }];
    }),
  );
}

const pathItems = (document: Json): [string, Json][] => Object.entries(objectAt(document, "paths")) as [string, Json][];

const operationsOf = (item: Json): [string, Json][] =>
  methods.filter((method) => isObject(item[method])).map((method) => [method, item[method] as Json]);

function deref(document: Json, node: unknown): Json {
  const found = isObject(node) && typeof node["$ref"] === "string" ? resolveReference(document, node["$ref"]) : node;
  return isObject(found) ? found : {};
}

const objectAt = (holder: Json, key: string): Json => (isObject(holder[key]) ? holder[key] : {});

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
