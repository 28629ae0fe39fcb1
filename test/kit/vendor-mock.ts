/**
 * A vendor's API as its own description has it. Every request of the plugin under test is matched to an operation and
 * checked (method, path, query, headers, credentials, body), and so is every answer that a test feeds it: what does not
 * hold is kept in `violations`, which the test asserts to be empty. Tests say what the vendor answers with small functions
 * by operation. Long because the checks of one request stand together.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import type { HttpAnswer, HttpScript, RecordedRequest } from "../../plugin-api/src/testing.ts";
import { isObject } from "../../src/base/json.ts";
import {
  type Credential,
  type Json,
  readDescription,
  resolveReference,
  type VendorOperation,
  type VendorParameter,
} from "./vendor-mock-description.ts";
import { createVendorSchemas, type SchemaQuirks, type Side } from "./vendor-mock-schemas.ts";

export interface VendorMockOptions extends SchemaQuirks {
  /** Below the folder of descriptions, such as `plaid/plaid_2020-09-14.openapi.json`; or a description itself. */
  file: string | Json;
  /** @default the description's servers */
  hosts?: readonly string[];
  /** Corrects a copy of the description where the service is known to differ from it. */
  patch?(document: Json): void;
  /** Credentials that the vendor knows; others are answered with `unauthorized`. @default any */
  accepts?(credentials: VendorCredentials, call: VendorCall): boolean;
  /** @default 401 without a body */
  unauthorized?: VendorReply;
}

/** What a request said of who it comes from. */
export interface VendorCredentials {
  bearer?: string;
  user?: string;
  password?: string;
  /** By header or query parameter, in the description's spelling. */
  keys: Record<string, string>;
}

export interface VendorCall {
  operation: string;
  /** How often the operation was called before. */
  count: number;
  path: Record<string, string>;
  /** Read as the description types them. */
  query: Record<string, unknown>;
  headers: Record<string, string>;
  /** Parsed JSON, or a form as an object. */
  body: unknown;
  credentials: VendorCredentials;
  request: RecordedRequest;
}

/** What the vendor answers: a reply, or data for the operation's first 2xx answer. */
export type VendorHandler = (call: VendorCall) => unknown;

/** An answer with a status of its own. */
export class VendorReply {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Record<string, string>;
  /** Sent as it stands and not checked. */
  readonly raw: boolean;

  constructor(status: number, body: unknown, headers: Record<string, string>, raw: boolean) {
    this.status = status;
    this.body = body;
    this.headers = headers;
    this.raw = raw;
  }
}

export interface VendorMock {
  /** By operation id, or by method and path as described (`GET /v1.0/me/contacts`). Throws when there is no such operation. */
  on(operation: string, handler: VendorHandler): VendorMock;
  /** For what the service has and the file lacks. Nothing of it is checked. */
  undescribed(method: string, path: RegExp, handler: VendorHandler): VendorMock;
  /** Oldest first. */
  readonly calls: readonly VendorCall[];
  /** One sentence each. */
  readonly violations: readonly string[];
  /** Fails with every violation, and when nothing was called at all. */
  assertClean(): void;
  /** May be replaced in the middle of a test: a token that expires. */
  accepts: (credentials: VendorCredentials, call: VendorCall) => boolean;
  /** For `testPlugin({ http })`. */
  readonly scripts: HttpScript[];
  readonly hosts: readonly string[];
  answer(request: RecordedRequest): Promise<HttpAnswer>;
  /** What is wrong with a value, by a reference such as `#/components/schemas/Webhook`: for webhook bodies. */
  check(reference: string, value: unknown, side?: Side): string[];
  /** The answers that the description publishes as examples. */
  examples(): { operation: string; status: string; name: string; value: unknown; faults: string[] }[];
  /** Makes the checks of every operation, which is otherwise done when one is called. Throws at what cannot be read. */
  compile(): number;
}

/** Where the descriptions are kept beside the checkout. */
export const vendorSpecs = join(import.meta.dirname, "../../../shared/specs");

const readSpec = (file: string): Json => JSON.parse(readFileSync(join(vendorSpecs, file), "utf8")) as Json;

/** A suite that needs the vendors' descriptions, and says so where there are none. */
export function describeVendor(title: string, files: readonly string[], body: () => void): void {
  const missing = files.filter((file) => !existsSync(join(vendorSpecs, file)));
  if (missing.length > 0)
    test(title, { skip: `needs the vendor's description ../shared/specs/${missing[0]}` }, () => {});
  else describe(title, body);
}

export const reply = (status: number, body?: unknown, headers: Record<string, string> = {}): VendorReply =>
  new VendorReply(status, body, headers, false);

/** Sent as it stands: broken JSON, a page of a proxy. */
export const rawReply = (status: number, body: string, headers: Record<string, string> = {}): VendorReply =>
  new VendorReply(status, body, headers, true);

/** "Too many requests", with the seconds to wait. */
export const throttled = (seconds: number, body?: unknown): VendorReply =>
  reply(429, body, { "retry-after": String(seconds) });

/** One after the other; the last stays. */
export const inTurn =
  (...handlers: readonly (VendorHandler | VendorReply)[]): VendorHandler =>
  (call) => {
    const turn = handlers[Math.min(call.count, handlers.length - 1)]!;
    return turn instanceof VendorReply ? turn : turn(call);
  };

export interface PagedOptions<Item> {
  items: readonly Item[] | (() => readonly Item[]);
  size: number;
  /** The mark of the page that is asked for, as `answer` gave it out; `undefined`: the first. */
  mark(call: VendorCall): unknown;
  /** `next`: the mark of the next page. */
  answer(items: Item[], next: string | undefined, call: VendorCall): unknown;
}

/** Pages whose marks are opaque to the plugin. */
export const paged =
  <Item>({ items, size, mark, answer }: PagedOptions<Item>): VendorHandler =>
  (call) => {
    const all = typeof items === "function" ? items() : items;
    const from = mark(call) === undefined ? 0 : Number(String(mark(call)).replace(/^page-at-/, ""));
    const next = from + size < all.length ? `page-at-${from + size}` : undefined;
    return answer(all.slice(from, from + size), next, call);
  };

/** One server for several vendors, led to by the hub's `egressOverride` setting. */
export async function serveVendors(
  ...mocks: readonly VendorMock[]
): Promise<AsyncDisposable & { egressOverride: string }> {
  const server = createServer(async (message, response) => {
    const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
    const mock = mocks.find(({ hosts }) => hosts.includes(headers["host"] ?? ""));
    const answer = await mock?.answer({
      method: message.method ?? "GET",
      url: `https://${headers["host"]}${message.url}`,
      headers,
      body: (await buffer(message)).toString("utf8"),
    });
    const { status = 501, headers: more = {}, body } = answer ?? {};
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { ...(text === undefined ? {} : { "content-type": contentType(body) }), ...more });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const hosts = mocks.flatMap((mock) => mock.hosts.map((host) => [host, `http://127.0.0.1:${port}`]));
  return {
    egressOverride: JSON.stringify(Object.fromEntries(hosts)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function createVendorMock({
  file,
  patch,
  unauthorized = reply(401),
  ...options
}: VendorMockOptions): VendorMock {
  const document = typeof file === "string" ? readSpec(file) : structuredClone(file);
  const described = typeof file === "string" ? file : "the description";
  patch?.(document);
  const { operations } = readDescription(document);
  const schemas = createVendorSchemas(document, options);
  const hosts = options.hosts ?? [...new Set(operations.flatMap((operation) => operation.hosts))];
  const handlers = new Map<string, VendorHandler>();
  const undescribed: { method: string; path: RegExp; handler: VendorHandler }[] = [];
  const calls: VendorCall[] = [];
  const violations: string[] = [];

  const mock: VendorMock = {
    calls,
    violations,
    hosts,
    accepts: options.accepts ?? (() => true),
    on(name, handler) {
      const operation = operations.find(({ id, method, path }) => id === name || `${method} ${path}` === name);
      if (!operation) throw new Error(`${described} describes no operation ${name}`);
      handlers.set(operation.id, handler);
      return mock;
    },
    undescribed(method, path, handler) {
      undescribed.push({ method: method.toUpperCase(), path, handler });
      return mock;
    },
    assertClean() {
      assert.deepEqual(violations, []);
      assert.ok(calls.length > 0, `nothing called ${hosts.join(", ")}`);
    },
    scripts: hosts.map((host) => ({ url: `https://${host}/*`, answer: (request) => mock.answer(request) })),
    answer,
    check: (reference, value, side = "answer") => {
      resolveReference(document, reference);
      return schemas.check({ $ref: reference }, value, side);
    },
    examples: () => operations.flatMap(publishedExamples),
    compile() {
      for (const { parameters, bodies, answers } of operations) {
        for (const { schema } of parameters) schemas.check(schema, "", "request");
        for (const schema of bodies.values()) schemas.check(schema, {}, "request");
        for (const contents of answers.values())
          for (const schema of contents.values()) schemas.check(schema, {}, "answer");
      }
      return operations.length;
    },
  };
  return mock;

  async function answer(request: RecordedRequest): Promise<HttpAnswer> {
    const url = new URL(request.url);
    const operation = findOperation(request.method, url.pathname);
    const other = undescribed.find(({ method, path }) => method === request.method && path.test(url.pathname));
    if (!operation || (other && !handlers.has(operation.id))) {
      if (other) return answerUndescribed(other, request, url);
      violations.push(`${request.method} ${url.pathname}: ${described} describes no such operation`);
      return { status: 404, body: { error: "the description has no such operation" } };
    }

    const faults: string[] = [];
    const call: VendorCall = {
      operation: operation.id,
      count: calls.filter((earlier) => earlier.operation === operation.id).length,
      path: operation.match(url.pathname)!,
      query: readQuery(operation, url.searchParams, faults),
      headers: request.headers,
      body: await readBody(operation, request, faults),
      credentials: readCredentials(operation, request, url),
      request,
    };
    checkPath(operation, call, faults);
    checkHeaders(operation, call, faults);
    if (!isSecured(operation, call.credentials)) faults.push("credentials: none that the description asks for");
    violations.push(...faults.map((fault) => `${request.method} ${url.pathname}: ${fault}`));
    calls.push(call);
    if (!isSecured(operation, call.credentials) || !mock.accepts(call.credentials, call)) return toHttp(unauthorized);

    const handler = handlers.get(operation.id);
    if (!handler) {
      violations.push(`${operation.id}: the test gives no answer`);
      return { status: 501, body: { error: `no handler for ${operation.id}` } };
    }
    const given = await handler(call);
    const sent = given instanceof VendorReply ? given : reply(successOf(operation), given);
    if (!sent.raw) violations.push(...checkAnswer(operation, sent).map((fault) => `${operation.id} answers: ${fault}`));
    return toHttp(sent);
  }

  async function answerUndescribed(
    { handler }: { handler: VendorHandler },
    request: RecordedRequest,
    url: URL,
  ): Promise<HttpAnswer> {
    const operation = `${request.method} ${url.pathname}`;
    const call: VendorCall = {
      operation,
      count: calls.filter((earlier) => earlier.operation === operation).length,
      path: {},
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: parseJson(request.body) ?? request.body,
      credentials: readCredentials(undefined, request, url),
      request,
    };
    calls.push(call);
    if (!mock.accepts(call.credentials, call)) return toHttp(unauthorized);
    const given = await handler(call);
    return toHttp(given instanceof VendorReply ? given : reply(200, given));
  }

  function findOperation(method: string, pathname: string): VendorOperation | undefined {
    return operations
      .filter((operation) => operation.method === method && operation.match(pathname) !== undefined)
      .sort((a, b) => b.literal - a.literal)[0];
  }

  function checkPath(operation: VendorOperation, call: VendorCall, faults: string[]): void {
    for (const [name, text] of Object.entries(call.path)) {
      const parameter = operation.parameters.find((one) => one.in === "path" && one.name === name);
      if (parameter) checkParameter(parameter, text, faults);
    }
  }

  function checkHeaders(operation: VendorOperation, call: VendorCall, faults: string[]): void {
    for (const parameter of operation.parameters.filter((one) => one.in === "header")) {
      // Written by the transport, or checked as credentials.
      if (["accept", "content-type", "authorization"].includes(parameter.name.toLowerCase())) continue;
      const text = call.headers[parameter.name.toLowerCase()];
      if (text !== undefined) checkParameter(parameter, text, faults);
      else if (parameter.required) faults.push(`header ${parameter.name} is required`);
    }
  }

  function checkParameter(parameter: VendorParameter, text: string | string[], faults: string[]): unknown {
    const value = readValue(parameter.schema, text, parameter.join);
    for (const fault of schemas.check(parameter.schema, value, "request"))
      faults.push(`${parameter.in} parameter ${parameter.name}: ${fault}`);
    return value;
  }

  function readQuery(operation: VendorOperation, query: URLSearchParams, faults: string[]): Record<string, unknown> {
    const known = operation.parameters.filter((parameter) => parameter.in === "query");
    const keys = operation.security
      .flat()
      .flatMap((one) => (one.kind === "key" && one.in === "query" ? [one.name] : []));
    const values: Record<string, unknown> = {};
    for (const name of new Set(query.keys())) {
      const parameter = known.find((one) => one.name === name);
      const texts = query.getAll(name);
      if (parameter) {
        const isList = schemas.typeOf(parameter.schema) === "array";
        if (texts.length > 1 && !isList) faults.push(`query parameter ${name} is given ${texts.length} times`);
        values[name] = checkParameter(parameter, isList && parameter.join === undefined ? texts : texts[0]!, faults);
      } else {
        values[name] = texts[0];
        if (!keys.includes(name)) faults.push(`query parameter ${name} is not described`);
      }
    }
    for (const { name, required } of known)
      if (required && !query.has(name)) faults.push(`query parameter ${name} is required`);
    return values;
  }

  async function readBody(operation: VendorOperation, request: RecordedRequest, faults: string[]): Promise<unknown> {
    const type = (request.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase();
    if (request.body === "") {
      if (operation.bodyRequired) faults.push("body: is required");
      return undefined;
    }
    const entry = [...operation.bodies].find(([name]) => sameType(name, type));
    if (!entry) {
      const wanted = [...operation.bodies.keys()].join(", ");
      faults.push(wanted === "" ? "body: none is described" : `body: is ${type || "of no type"} instead of ${wanted}`);
      return parseJson(request.body) ?? request.body;
    }
    const [, schema] = entry;
    let value: unknown;
    if (type === "application/x-www-form-urlencoded")
      value = readForm(schema, [...new URLSearchParams(request.body)], faults);
    else if (type === "multipart/form-data") {
      const form = await new Response(request.body, { headers: { "content-type": request.headers["content-type"]! } })
        .formData()
        .catch(() => undefined);
      if (!form) faults.push("body: is no multipart form");
      value = readForm(
        schema,
        [...(form ?? [])].map(([name, part]) => [name, typeof part === "string" ? part : part.name]),
        faults,
      );
    } else if (type.endsWith("json")) {
      value = parseJson(request.body);
      if (value === undefined) {
        faults.push("body: is no JSON");
        return request.body;
      }
    } else return request.body;
    for (const fault of schemas.check(schema, value, "request")) faults.push(`body: ${fault}`);
    return value;
  }

  /** A form by its schema: a name that stands several times is a list, and texts are read as the types they stand for. */
  function readForm(schema: unknown, pairs: readonly [string, string][], faults: string[]): Record<string, unknown> {
    const properties = (schemas.resolve(schema)["properties"] ?? {}) as Json;
    const value: Record<string, unknown> = {};
    for (const name of new Set(pairs.map(([key]) => key))) {
      const texts = pairs.filter(([key]) => key === name).map(([, text]) => text);
      const isList = schemas.typeOf(properties[name]) === "array";
      if (texts.length > 1 && !isList) faults.push(`body: ${name} is given ${texts.length} times`);
      value[name] = readValue(properties[name] ?? {}, isList ? texts : texts[0]!, undefined);
    }
    return value;
  }

  /** Texts of parameters and forms, as the type the schema asks for; what does not read as that type stays text. */
  function readValue(schema: unknown, text: string | string[], join: string | undefined): unknown {
    const type = schemas.typeOf(schema);
    if (type === "array") {
      const texts = typeof text === "string" ? (join === undefined ? [text] : text.split(join)) : text;
      return texts.map((one) => readValue(schemas.resolve(schema)["items"] ?? {}, one, undefined));
    }
    if (typeof text !== "string") return text;
    if ((type === "integer" || type === "number") && text.trim() !== "" && Number.isFinite(Number(text)))
      return Number(text);
    if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
    if (type === "object") return parseJson(text) ?? text;
    return text;
  }

  function checkAnswer(operation: VendorOperation, { status, body }: VendorReply): string[] {
    const contents =
      operation.answers.get(String(status)) ??
      operation.answers.get(`${Math.floor(status / 100)}XX`) ??
      operation.answers.get("default");
    // Few descriptions name every failure.
    if (!contents) return status < 400 ? [`status ${status} is not described`] : [];
    if (contents.size === 0)
      return status < 400 && body !== undefined && operation.answers.size > 0 && isDescribed(operation)
        ? [`status ${status} has no body`]
        : [];
    const json = [...contents].find(([type]) => type.includes("json") || type === "*/*");
    if (body === undefined) return status < 400 ? [`status ${status} has a body`] : [];
    if (typeof body === "string" && !json) return [];
    return json ? schemas.check(json[1], body, "answer").map((fault) => `${status} ${fault}`) : [];
  }

  /** Some descriptions name no body at all, of any operation. */
  function isDescribed(operation: VendorOperation): boolean {
    return operations.some(
      (one) => one.hosts[0] === operation.hosts[0] && [...one.answers.values()].some(({ size }) => size > 0),
    );
  }

  function publishedExamples(operation: VendorOperation): ReturnType<VendorMock["examples"]> {
    const answers = isObject(operation.raw["responses"]) ? operation.raw["responses"] : {};
    return Object.entries(answers).flatMap(([status, answer]) => {
      const content = isObject(answer) && isObject(answer["content"]) ? answer["content"] : {};
      return Object.values(content).flatMap((media) => {
        const { schema, example, examples } = media as Json;
        const named = Object.entries(isObject(examples) ? examples : {}).map(([name, entry]): [string, unknown] => [
          name,
          schemas.resolve(entry)["value"],
        ]);
        return [...named, ...(example === undefined ? [] : [["example", example] as [string, unknown]])].map(
          ([name, value]) => ({
            operation: operation.id,
            status,
            name,
            value,
            faults: schemas.check(schema, value, "answer"),
          }),
        );
      });
    });
  }
}

function readCredentials(
  operation: VendorOperation | undefined,
  { headers }: RecordedRequest,
  url: URL,
): VendorCredentials {
  const [scheme = "", value = ""] = (headers["authorization"] ?? "").split(" ");
  const basic = scheme.toLowerCase() === "basic" ? Buffer.from(value, "base64").toString("utf8") : undefined;
  const keys: Record<string, string> = {};
  for (const one of operation?.security.flat() ?? []) {
    const text =
      one.kind === "key" && (one.in === "header" ? headers[one.name.toLowerCase()] : url.searchParams.get(one.name));
    if (one.kind === "key" && text) keys[one.name] = text;
  }
  return {
    keys,
    ...(scheme.toLowerCase() === "bearer" ? { bearer: value } : {}),
    ...(basic === undefined
      ? {}
      : { user: basic.slice(0, basic.indexOf(":")), password: basic.slice(basic.indexOf(":") + 1) }),
  };
}

function isSecured({ security }: VendorOperation, credentials: VendorCredentials): boolean {
  const has = (one: Credential): boolean =>
    one.kind === "bearer"
      ? Boolean(credentials.bearer)
      : one.kind === "basic"
        ? credentials.user !== undefined
        : one.name in credentials.keys;
  return security.length === 0 || security.some((together) => together.every(has));
}

function successOf({ answers, method }: VendorOperation): number {
  const named = [...answers.keys()].filter((status) => /^2\d\d$/.test(status)).map(Number);
  return named.length > 0 ? Math.min(...named) : method === "POST" && answers.has("2XX") ? 201 : 200;
}

const toHttp = ({ status, body, headers }: VendorReply): HttpAnswer => ({
  status,
  headers,
  ...(body === undefined || status === 204 ? {} : { body }),
});

const contentType = (body: unknown): string =>
  typeof body === "string" ? "text/plain; charset=utf-8" : "application/json";

const sameType = (described: string, sent: string): boolean =>
  described === "*/*" || described.split(";")[0]!.trim().toLowerCase() === sent;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
