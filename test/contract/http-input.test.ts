/** CONTRACT, "HTTP": bad input, error documents, lists and the API's description. */
import assert from "node:assert/strict";
import { request as rawRequest } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { apiRoutes } from "../../src/edges/http/api.ts";
import { errorTable } from "../../src/errors/table.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
before(async () => {
  hub = await startTestHub({ bundled: true });
  acme = await hub.organization("acme");
});
after(() => hub[Symbol.asyncDispose]());

const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<TestAnswer> =>
  hub.request("POST", path, { token: acme.adminKey, body, headers });

function assertProblem(answer: TestAnswer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  assert.equal(answer.body.code, code);
  assert.equal(answer.body.status, status);
  assert.ok(code in errorTable);
  for (const field of ["type", "title", "detail"]) assert.equal(typeof answer.body[field], "string");
  assert.doesNotMatch(answer.text, /node_modules|\/src\/|\.ts:\d+|at async/);
  if (status === 400) {
    assert.ok(answer.body.errors.length > 0);
    for (const { path, message } of answer.body.errors) assert.ok(typeof path === "string" && message.length > 3);
  }
}

test("health and readiness are open to all", async () => {
  assert.deepEqual((await hub.request("GET", "/healthz", { token: null })).body, { status: "ok" });
  assert.deepEqual((await hub.request("GET", "/readyz", { token: null })).body, { status: "ready" });
});

test("metrics are Prometheus text for the hub admin only", async () => {
  const metrics = await hub.request("GET", "/metrics");
  assert.equal(metrics.status, 200);
  assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/);
  assert.match(metrics.text, /^# HELP /m);
  assert.equal((await hub.request("GET", "/metrics", { token: acme.adminKey })).status, 403);
});

test("JSON that is none, that is cut, and that is not UTF-8: 400 invalid_json", async () => {
  for (const body of ["{", '{"type":', "nope", '{"a":1}}', Buffer.from([0x22, 0xff, 0xfe, 0x22])])
    assertProblem(await post("/api/events", body), 400, "invalid_json");
});

test("JSON of another shape: 400 that names each field", async () => {
  for (const body of [[], "text", 7, null, { type: 7 }])
    assertProblem(await post("/api/events", JSON.stringify(body)), 400, "invalid_input");
  const many = await post("/api/events", { type: 7, id: 7, colour: "red", shape: "round" });
  assert.deepEqual(many.body.errors.map(({ path }: { path: string }) => path).sort(), [
    "colour",
    "data",
    "id",
    "shape",
    "type",
  ]);
});

test("unknown fields are refused in bodies and in queries, also where a route takes none", async () => {
  assertProblem(await post("/api/plugins", { id: "a.b", colour: "red" }), 400, "invalid_input");
  assertProblem(await post("/api/plugins/a.b/activate", { colour: "red" }), 400, "invalid_input");
  for (const path of ["/api/plugins?colour=red", "/api/plugins/a.b?colour=red", "/api/events?types=x"])
    assertProblem(await hub.request("GET", path, { token: acme.adminKey }), 400, "invalid_input");
});

test("probes may carry a query of their own", async () => {
  for (const path of ["/healthz?probe=1", "/readyz?probe=1"])
    assert.equal((await hub.request("GET", path)).status, 200);
});

test("prototype keys are data and nothing else", async () => {
  const answer = await post("/api/events", '{"type":"a.b","data":{"__proto__":{"x":1},"constructor":{"y":2}}}');
  assert.equal(answer.status, 202);
  assertProblem(await post("/api/plugins", '{"id":"a.b","constructor":1}'), 400, "invalid_input");
});

test("another content type: 415; none with a body: 415; none without a body is fine", async () => {
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/xml", "multipart/form-data"])
    assertProblem(await post("/api/events", "x", { "content-type": type }), 415, "unsupported_media_type");
  assertProblem(await post("/api/packages", "{}"), 415, "unsupported_media_type");
  assertProblem(await hub.request("POST", "/api/plugins/no.such/activate", { token: acme.adminKey }), 404, "not_found");
});

test("a body that is too large: 413, announced or streamed, also when nobody is allowed to send it", async () => {
  assertProblem(await post("/api/events", `"${"x".repeat(4 * 1024 * 1024)}"`), 413, "payload_too_large");
  assertProblem(await post("/api/events", { type: "a.b", data: "x".repeat(1024 * 1024) }), 413, "payload_too_large");
  const chunked = await new Promise<number>((resolve, reject) => {
    const sent = rawRequest(`${hub.url}/api/events`, {
      method: "POST",
      headers: { authorization: `Bearer ${acme.adminKey}`, "content-type": "application/json" },
    });
    sent.on("response", (answer) => resolve(answer.statusCode!)).on("error", reject);
    for (let sentBytes = 0; sentBytes < 5 * 1024 * 1024; sentBytes += 65_536) sent.write("x".repeat(65_536));
  });
  assert.equal(chunked, 413);
  const stranger = await hub.request("POST", "/api/packages", {
    token: null,
    body: "x",
    headers: { "content-type": "application/gzip" },
  });
  assert.equal(stranger.status, 401);
});

test("packages that are none: 400 invalid_package", async () => {
  for (const body of [Buffer.alloc(0), Buffer.from("no tar"), Buffer.alloc(2048)])
    assertProblem(await post("/api/packages", body, { "content-type": "application/gzip" }), 400, "invalid_package");
});

test("an unknown path, a wrong method, a path that cannot be decoded, one that is very long: 404", async () => {
  for (const path of [
    "/nope",
    "/api/nope",
    "/api/plugins/%zz",
    "/api/plugins/%E0%A4%A",
    `/api/plugins/${"x".repeat(3000)}`,
    "/api/plugins/a/b/c",
  ])
    assertProblem(await hub.request("GET", path, { token: acme.adminKey }), 404, "not_found");
  assertProblem(await hub.request("PATCH", "/api/plugins", { token: acme.adminKey }), 404, "not_found");
});

test("bytes that are no HTTP: an error document and a closed connection; the hub goes on", async () => {
  const talk = (bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(hub.url);
      let heard = "";
      const socket = connect(Number(port), hostname, () => socket.write(bytes));
      socket
        .setEncoding("utf8")
        .on("data", (chunk) => {
          heard += chunk;
        })
        .on("close", () => resolve(heard))
        .on("error", reject);
    });
  assert.match(await talk("NONSENSE\r\n\r\n"), /^HTTP\/1\.1 400 .*application\/problem\+json.*"code":"invalid_input"/s);
  assert.match(await talk(`GET / HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(40_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.equal((await hub.request("GET", "/healthz", { token: null })).status, 200);
});

test("limits and cursors: from 1 to 200, and only what the list gave out", async () => {
  const lists = [
    "/api/plugins",
    "/api/packages",
    "/api/executions",
    "/api/events",
    "/api/dead-letters",
    "/api/consumers",
    "/api/audit",
    "/api/organizations/acme/api-keys",
  ];
  for (const list of lists) {
    const answer = await hub.request("GET", `${list}?limit=200`, { token: acme.adminKey });
    assert.equal(answer.status, 200, answer.text);
    const { nextCursor, ...rest } = answer.body;
    assert.equal(nextCursor, null, list);
    assert.ok(Object.values(rest).every(Array.isArray) && Object.keys(rest).length === 1, list);
    for (const limit of ["0", "201", "-1", "1.5", "x", "", "5&limit=6"])
      assertProblem(await hub.request("GET", `${list}?limit=${limit}`, { token: acme.adminKey }), 400, "invalid_input");
    // Of another list, cut, made up: an error or an empty page, never a fault of the hub.
    for (const cursor of [
      "x",
      "%00",
      Buffer.from('["a","b"]').toString("base64url"),
      Buffer.from('["\\u0000"]').toString("base64url"),
      Buffer.from("[1e400]").toString("base64url"),
      Buffer.from("[1.5]").toString("base64url"),
    ]) {
      const odd = await hub.request("GET", `${list}?cursor=${cursor}`, { token: acme.adminKey });
      assert.ok([200, 400].includes(odd.status), `${list} ${cursor}: ${odd.text}`);
    }
  }
});

test("NUL characters in identifiers are bad input or unknown, never a fault of the hub", async () => {
  for (const [method, path, body] of [
    ["GET", "/api/plugins/a%00b"],
    ["GET", "/api/executions/a%00b"],
    ["GET", "/api/executions?plugin=a%00b"],
    ["GET", "/api/packages/a%00b"],
    ["GET", "/api/events?after=a%00b"],
    ["POST", "/api/dead-letters/a%00b/retry"],
    ["POST", "/api/dead-letters/99999999999999999999/retry"],
    ["POST", "/api/events", { type: "a.b", data: { text: "a\u0000b\ud800" } }],
    ["POST", "/api/events", { type: "a.b", data: 1, id: "a\u0000b" }],
    ["POST", "/api/plugins", { id: "a\u0000b" }],
    ["GET", "/webhooks/ac%00me/a.b"],
    ["GET", "/webhooks/acme/a%00b"],
    ["GET", "/api/plugins/a%00b/logs"],
    ["DELETE", "/api/organizations/acme/api-keys/a%00b"],
  ] as const) {
    const { status, text } = await hub.request(method, path, { token: acme.adminKey, ...(body ? { body } : {}) });
    assert.ok(status >= 200 && status < 500, `${method} ${path} ${status} ${text}`);
  }
  for (const id of ["a\u0000b", "Upper", "x y", "", "x".repeat(64), "*", "__proto__", "../x"]) {
    const { status, text } = await hub.request("POST", "/api/organizations", { body: { id, name: "x" } });
    assert.equal(status, 400, `${id} ${text}`);
  }
  assert.equal((await hub.request("GET", "/api/plugins", { org: "x".repeat(3000) })).status, 404);
});

test("lists go page by page, newest first, without gap or repetition", async () => {
  for (let n = 0; n < 5; n += 1)
    assert.equal(
      (await hub.request("POST", "/api/organizations", { body: { id: `page-${n}`, name: `${n}` } })).status,
      201,
    );
  const seen: string[] = [];
  let cursor = "";
  do {
    const { body } = await hub.request("GET", `/api/organizations?limit=2${cursor}`);
    assert.ok(body.organizations.length <= 2);
    seen.push(...body.organizations.map(({ id }: { id: string }) => id));
    cursor = body.nextCursor === null ? "" : `&cursor=${encodeURIComponent(body.nextCursor)}`;
  } while (cursor);
  assert.deepEqual(seen, ["page-4", "page-3", "page-2", "page-1", "page-0", "acme", "demo"]);
});

test("an organisation made twice: 409", async () => {
  assertProblem(await hub.request("POST", "/api/organizations", { body: { id: "acme", name: "x" } }), 409, "conflict");
});

test("OpenAPI 3.1 is valid and has every route of the table, streams and webhooks among them", async () => {
  const { body: document, status } = await hub.request("GET", "/api/openapi.json", { token: null });
  assert.equal(status, 200);
  assert.equal(document.openapi, "3.1.0");
  assert.equal(document.servers[0].url, hub.url);
  const routes = apiRoutes(hub.hub, { version: "1.0.0", stopping: new AbortController().signal });
  const ids = new Set<string>();
  for (const { method, path } of routes) {
    const item = document.paths[path.replace(/:(\w+)/g, "{$1}").replace(/\*$/, "{rest}")];
    assert.ok(item, path);
    const operation = item[method === "ANY" ? "post" : method.toLowerCase()];
    assert.ok(operation, `${method} ${path}`);
    assert.ok(!ids.has(operation.operationId), operation.operationId);
    ids.add(operation.operationId);
    const named = (operation.parameters ?? [])
      .filter((p: { in: string }) => p.in === "path")
      .map((p: { name: string }) => p.name);
    assert.deepEqual(named.sort(), [...path.matchAll(/:(\w+)|(\*)/g)].map((m) => m[1] ?? "rest").sort(), path);
  }
  assert.ok(document.paths["/api/events/stream"].get.responses["200"].content["text/event-stream"]);
  assert.ok(document.paths["/webhooks/{org}/{pluginId}/{rest}"].put);
  assert.ok(document.paths["/api/plugins/{id}"].post.responses["202"]);
  validateDocument(document);
});

interface Media {
  schema?: unknown;
}
interface Answer {
  description?: string;
  $ref?: string;
  content?: Record<string, Media>;
}
interface Operation {
  parameters?: { in: string; required?: boolean; schema: unknown }[];
  requestBody?: Answer;
  responses: Record<string, Answer>;
}
interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
}

/** Every schema in the document compiles as JSON Schema 2020-12, every reference leads somewhere, every response is described. */
function validateDocument({ paths, components }: ApiDocument): void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: "https://test/openapi", components });
  const schemas: unknown[] = Object.values(components.schemas);
  for (const { parameters = [], requestBody, responses } of Object.values(paths).flatMap(Object.values<Operation>)) {
    for (const parameter of parameters) {
      assert.ok(["path", "query", "header"].includes(parameter.in));
      assert.ok(parameter.in !== "path" || parameter.required === true);
      schemas.push(parameter.schema);
    }
    for (const [status, response] of Object.entries(responses)) {
      assert.match(status, /^[1-5]\d\d$/);
      assert.ok(response.description || response.$ref === "#/components/responses/Problem");
    }
    for (const { content = {} } of [...(requestBody ? [requestBody] : []), ...Object.values(responses)])
      for (const { schema } of Object.values(content)) schemas.push(schema ?? {});
  }
  for (const schema of schemas) {
    assert.ok(typeof schema === "object" && schema !== null);
    ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"https://test/openapi#/components')));
  }
}

test("the public catalog and the organisation's own show the bundled plugins", async () => {
  for (const [path, token] of [
    ["/api/catalog", null],
    ["/api/packages", acme.viewerKey],
  ] as const) {
    const { body } = await hub.request("GET", path, { token });
    assert.deepEqual(body.packages.map(({ id }: { id: string }) => id).sort(), [
      "backplane.greeter",
      "com.fitbit",
      "com.google.fit",
      "com.google.health",
      "com.microsoft.graph",
      "com.nutritionix",
      "com.plaid",
      "com.twilio",
      "com.whatsapp.cloud",
      "gov.usda.fdc",
      "io.madeopen.comms-rules",
      "io.madeopen.contact-rules",
      "io.madeopen.device",
      "io.madeopen.location-rules",
      "io.twilio.sms",
      "mlebotics/slack-notifier",
    ]);
  }
  const one = await hub.request("GET", "/api/packages/mlebotics%2Fslack-notifier", { token: acme.viewerKey });
  assert.equal(one.body.id, "mlebotics/slack-notifier");
  assert.equal((await hub.request("GET", "/api/packages/no.such", { token: acme.viewerKey })).status, 404);
});

test("a traceparent is taken up, a broken one ignored; problems name the trace", async () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const known = await hub.request("GET", "/nope", { headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } });
  assert.equal(known.body.traceId, traceId);
  const broken = await hub.request("GET", "/nope", { headers: { traceparent: "00-zz-1-01" } });
  assert.match(broken.body.traceId, /^[0-9a-f]{32}$/);
});

test("too many requests of one caller: 429 with retry-after, and others are served", async () => {
  await using small = await startTestHub({ requestsPerSecond: 2 });
  const statuses: number[] = [];
  for (let n = 0; n < 25; n += 1) statuses.push((await small.request("GET", "/api/organizations")).status);
  assert.ok(statuses.includes(429));
  const refused = await small.request("GET", "/api/organizations");
  assertProblem(refused, 429, "rate_limited");
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal((await small.request("GET", "/healthz", { token: null })).status, 200);
});
