import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RecordedRequest } from "../../plugin-api/src/testing.ts";
import {
  createVendorMock,
  describeVendor,
  inTurn,
  paged,
  rawReply,
  reply,
  serveVendors,
  throttled,
  type VendorMock,
} from "./vendor-mock.ts";
import type { Json } from "./vendor-mock-description.ts";

const openApi: Json = {
  openapi: "3.0.3",
  servers: [{ url: "https://api.pets.example/v1" }],
  security: [{ token: [] }],
  components: {
    securitySchemes: {
      token: { type: "http", scheme: "bearer" },
      key: { type: "apiKey", in: "header", name: "X-Key" },
    },
    schemas: {
      Named: { type: "object", properties: { name: { type: "string", nullable: true } }, required: ["name"] },
      Pet: {
        allOf: [{ $ref: "#/components/schemas/Named" }],
        type: "object",
        properties: {
          id: { type: "integer" },
          kind: { type: "string", enum: ["Cat", "Dog"] },
          born: { type: "string", format: "date" },
          friends: { type: "array", items: { $ref: "#/components/schemas/Pet" } },
          any: { type: "object" },
        },
      },
    },
  },
  paths: {
    "/pets": {
      get: {
        operationId: "listPets",
        parameters: [
          { name: "limit", in: "query", schema: { type: "integer", maximum: 10 } },
          { name: "kind", in: "query", schema: { type: "array", items: { type: "string", enum: ["Cat", "Dog"] } } },
          { name: "page", in: "query", schema: { type: "string" } },
        ],
        responses: {
          200: {
            description: "",
            content: {
              "application/json": {
                schema: {
                  type: "object",
                  required: ["pets"],
                  properties: {
                    pets: { type: "array", items: { $ref: "#/components/schemas/Pet" } },
                    next: { type: "string", nullable: true },
                  },
                },
                example: { pets: [{ name: "Tom", kind: "Bird" }] },
              },
            },
          },
        },
      },
      post: {
        operationId: "addPet",
        requestBody: {
          required: true,
          content: {
            "application/json": { schema: { $ref: "#/components/schemas/Pet" } },
            "application/x-www-form-urlencoded": {
              schema: {
                type: "object",
                properties: {
                  name: { type: "string" },
                  age: { type: "integer" },
                  tag: { type: "array", items: { type: "string" } },
                },
                required: ["name"],
              },
            },
          },
        },
        responses: {
          201: { description: "", content: { "application/json": { schema: { $ref: "#/components/schemas/Pet" } } } },
        },
      },
    },
    "/pets/{id}": {
      parameters: [{ name: "id", in: "path", required: true, schema: { type: "integer" } }],
      get: {
        operationId: "getPet",
        responses: {
          200: { description: "", content: { "application/json": { schema: { $ref: "#/components/schemas/Pet" } } } },
        },
      },
      delete: { operationId: "removePet", security: [{ key: [] }], responses: { 204: { description: "" } } },
    },
    "/pets/first": {
      get: {
        operationId: "firstPet",
        responses: {
          200: { description: "", content: { "application/json": { schema: { $ref: "#/components/schemas/Pet" } } } },
        },
      },
    },
  },
};

const ask = async (
  mock: VendorMock,
  method: string,
  path: string,
  { body = "", headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<{ status?: number; headers?: Record<string, string>; body?: unknown }> => {
  const form = body instanceof URLSearchParams;
  const request: RecordedRequest = {
    method,
    url: `https://${mock.hosts[0]}${path}`,
    headers: {
      authorization: "Bearer t",
      ...(body === "" ? {} : { "content-type": form ? "application/x-www-form-urlencoded" : "application/json" }),
      ...headers,
    },
    body: body === "" || typeof body === "string" ? String(body) : form ? String(body) : JSON.stringify(body),
  };
  return mock.answer(request);
};

describe("a mock of a described vendor", () => {
  const tom = { id: 1, name: "Tom", kind: "Cat" };

  test("answers what holds, and has nothing to say", async () => {
    const mock = createVendorMock({ file: openApi })
      .on("listPets", ({ query }) => ({ pets: [tom], next: String(query["limit"]) }))
      .on("addPet", ({ body }) => body);
    assert.deepEqual(await ask(mock, "GET", "/v1/pets?limit=3&kind=Cat&kind=Dog"), {
      status: 200,
      headers: {},
      body: { pets: [tom], next: "3" },
    });
    assert.equal(
      (await ask(mock, "POST", "/v1/pets", { body: { ...tom, friends: [{ name: null }], any: { x: 1 } } })).status,
      201,
    );
    mock.assertClean();
    assert.deepEqual(
      mock.calls.map(({ operation }) => operation),
      ["listPets", "addPet"],
    );
    assert.deepEqual(mock.calls[0]?.query, { limit: 3, kind: ["Cat", "Dog"] });
  });

  const faulty: [title: string, method: string, path: string, body: unknown, said: RegExp][] = [
    ["a path that is not described", "GET", "/v1/cats", "", /describes no such operation/],
    ["a method that is not described", "PUT", "/v1/pets", "", /describes no such operation/],
    ["a path parameter of another type", "GET", "/v1/pets/tom", "", /path parameter id: .*integer/],
    ["a query parameter above its bound", "GET", "/v1/pets?limit=11", "", /query parameter limit: .*<= 10/],
    ["a query parameter that nobody knows", "GET", "/v1/pets?size=1", "", /query parameter size is not described/],
    ["a query parameter given twice", "GET", "/v1/pets?limit=1&limit=2", "", /limit is given 2 times/],
    ["a value outside of an enum in a list", "GET", "/v1/pets?kind=Bird", "", /kind: \/0 .*Cat, Dog/],
    ["no body", "POST", "/v1/pets", "", /body: is required/],
    ["a body that is no JSON", "POST", "/v1/pets", "{", /body: is no JSON/],
    ["a body where none belongs", "GET", "/v1/pets", {}, /body: none is described/],
    ["a missing field", "POST", "/v1/pets", { id: 1 }, /body: .*'name'/],
    ["a field that nobody knows", "POST", "/v1/pets", { name: "x", nmae: "y" }, /unevaluated.*nmae/],
    [
      "a field that nobody knows, further in",
      "POST",
      "/v1/pets",
      { name: "x", friends: [{ name: "y", age: 2 }] },
      /\/friends\/0 .*age/,
    ],
    ["a format", "POST", "/v1/pets", { name: "x", born: "yesterday" }, /\/born .*date/],
    ["an unknown field of a form", "POST", "/v1/pets", new URLSearchParams({ name: "x", size: "1" }), /size/],
    ["a number in a form", "POST", "/v1/pets", new URLSearchParams({ name: "x", age: "old" }), /\/age .*integer/],
    [
      "a repeated field of a form that is no list",
      "POST",
      "/v1/pets",
      new URLSearchParams([
        ["name", "x"],
        ["name", "y"],
      ]),
      /name is given 2/,
    ],
  ];
  for (const [title, method, path, body, said] of faulty)
    test(`a request is at fault: ${title}`, async () => {
      const mock = createVendorMock({ file: openApi })
        .on("listPets", () => ({ pets: [] }))
        .on("getPet", () => tom)
        .on("addPet", () => tom);
      await ask(mock, method, path, { body });
      assert.match(mock.violations.join("\n"), said);
      assert.equal(mock.violations.length, 1, mock.violations.join("\n"));
      assert.throws(() => mock.assertClean());
    });

  test("a form's repeated names are a list, and its texts are read as their types", async () => {
    const mock = createVendorMock({ file: openApi }).on("addPet", () => tom);
    await ask(mock, "POST", "/v1/pets", {
      body: new URLSearchParams([
        ["name", "x"],
        ["age", "3"],
        ["tag", "a"],
        ["tag", "b"],
      ]),
    });
    mock.assertClean();
    assert.deepEqual(mock.calls[0]?.body, { name: "x", age: 3, tag: ["a", "b"] });
  });

  const answers: [title: string, answer: unknown, said: RegExp | undefined][] = [
    ["a wrong type", { pets: 1 }, /listPets answers: 200 \/pets .*array/],
    ["an invented field", { pets: [{ name: "x", colour: "red" }] }, /colour/],
    ["a missing field", {}, /'pets'/],
    ["a status without description", reply(204), /status 204 is not described/],
    ["a failure without description", reply(500, { any: "thing" }), undefined],
    ["broken on purpose", rawReply(200, "{"), undefined],
    ["no body at all", reply(200), /status 200 has a body/],
  ];
  for (const [title, answer, said] of answers)
    test(`an answer ${said ? "is at fault" : "is let through"}: ${title}`, async () => {
      const mock = createVendorMock({ file: openApi }).on("listPets", () => answer);
      await ask(mock, "GET", "/v1/pets");
      assert.equal(mock.violations.length, said ? 1 : 0, mock.violations.join("\n"));
      if (said) assert.match(mock.violations[0]!, said);
    });

  test("without credentials, or with others than accepted, the vendor answers 401; only the first is a fault", async () => {
    const mock = createVendorMock({ file: openApi, unauthorized: reply(401, { error: "expired" }) })
      .on("listPets", () => ({ pets: [] }))
      .on("removePet", () => undefined);
    mock.accepts = ({ bearer, keys }) => bearer === "t" || keys["X-Key"] === "k";
    assert.equal((await ask(mock, "GET", "/v1/pets")).status, 200);
    assert.equal((await ask(mock, "DELETE", "/v1/pets/1", { headers: { "x-key": "k" } })).status, 204);
    mock.accepts = () => false;
    assert.deepEqual(await ask(mock, "GET", "/v1/pets"), { status: 401, headers: {}, body: { error: "expired" } });
    mock.assertClean();
    assert.equal((await ask(mock, "GET", "/v1/pets", { headers: { authorization: "" } })).status, 401);
    assert.match(mock.violations.at(-1)!, /credentials/);
  });

  test("of two paths that match, the more literal one is meant", async () => {
    const mock = createVendorMock({ file: openApi }).on("firstPet", () => tom);
    assert.equal((await ask(mock, "GET", "/v1/pets/first")).status, 200);
    mock.assertClean();
  });

  test("an operation without a handler is named; one that is not described cannot have one, unless it is said so", async () => {
    const mock = createVendorMock({ file: openApi });
    assert.equal((await ask(mock, "GET", "/v1/pets")).status, 501);
    assert.match(mock.violations[0]!, /listPets: the test gives no answer/);
    assert.throws(() => mock.on("feedPet", () => 1), /no operation feedPet/);
    mock.undescribed("POST", /^\/v1\/pets\/\d+\/feed$/, () => ({ fed: true }));
    assert.deepEqual((await ask(mock, "POST", "/v1/pets/7/feed", { body: { x: 1 } })).body, { fed: true });
    assert.equal(mock.violations.length, 1);
  });

  test("helpers: pages by opaque marks, one answer after the other, 429 with the seconds to wait", async () => {
    const page = paged({
      items: [1, 2, 3, 4, 5].map((id) => ({ id, name: `n${id}` })),
      size: 2,
      mark: ({ query }) => query["page"],
      answer: (pets, next) => ({ pets, ...(next ? { next } : {}) }),
    });
    const mock = createVendorMock({ file: openApi }).on("listPets", inTurn(page, throttled(7), page));
    const ids = (answer: { body?: unknown }): number[] =>
      (answer.body as { pets: { id: number }[] }).pets.map(({ id }) => id);
    assert.deepEqual(ids(await ask(mock, "GET", "/v1/pets")), [1, 2]);
    assert.deepEqual(await ask(mock, "GET", "/v1/pets?page=page-at-2"), {
      status: 429,
      headers: { "retry-after": "7" },
    });
    assert.deepEqual(ids(await ask(mock, "GET", "/v1/pets?page=page-at-4")), [5]);
    mock.assertClean();
  });

  test("knobs: enums without case, open enums of answers, loose formats, fields that need not be there or are known by pattern", async () => {
    const check = (knobs: object, value: unknown, side: "request" | "answer" = "answer"): string[] =>
      createVendorMock({ file: openApi, ...knobs }).check("#/components/schemas/Pet", value, side);
    assert.equal(check({}, { name: "x", kind: "cat" }).length, 1);
    assert.deepEqual(check({ enums: "ignore case" }, { name: "x", kind: "cat" }), []);
    assert.equal(check({ enums: "ignore case" }, { name: "x", kind: "bird" }).length, 1);
    assert.deepEqual(check({ enums: "open answers" }, { name: "x", kind: "bird" }), []);
    assert.equal(check({ enums: "open answers" }, { name: "x", kind: "bird" }, "request").length, 1);
    assert.deepEqual(check({ looseFormats: ["date"] }, { name: "x", born: "?" }), []);
    assert.deepEqual(check({ notRequired: ["name"] }, {}), []);
    assert.deepEqual(check({ knownFields: ["^@"] }, { name: "x", "@type": 1 }), []);
    assert.deepEqual(check({ unknownFields: "in answers" }, { name: "x", colour: 1 }), []);
    assert.equal(check({ unknownFields: "in answers" }, { name: "x", colour: 1 }, "request").length, 1);
  });

  test("published examples are told apart by whether they hold", () => {
    const [example] = createVendorMock({ file: openApi }).examples();
    assert.equal(example?.operation, "listPets");
    assert.match(String(example?.faults), /kind/);
  });

  test("serves the hub's override over HTTP", async () => {
    const mock = createVendorMock({ file: openApi }).on("getPet", () => tom);
    await using served = await serveVendors(mock);
    const origin = (JSON.parse(served.egressOverride) as Record<string, string>)["api.pets.example"]!;
    const { request } = await import("node:http");
    const status = await new Promise((resolve, reject) => {
      request(`${origin}/v1/pets/1`, { headers: { host: "api.pets.example", authorization: "Bearer t" } }, (answer) => {
        answer.resume().on("end", () => resolve(answer.statusCode));
      })
        .on("error", reject)
        .end();
    });
    assert.equal(status, 200);
    mock.assertClean();
  });
});

test("Swagger 2: base path, form fields, lists by their format, security", async () => {
  const mock = createVendorMock({
    file: {
      swagger: "2.0",
      host: "old.example",
      basePath: "/api",
      securityDefinitions: { b: { type: "basic" } },
      security: [{ b: [] }],
      definitions: { Ok: { type: "object", properties: { ok: { type: "boolean" } } } },
      paths: {
        "/do": {
          post: {
            operationId: "do",
            consumes: ["application/x-www-form-urlencoded"],
            parameters: [
              { name: "n", in: "formData", type: "integer", required: true },
              { name: "ids", in: "query", type: "array", items: { type: "integer" }, collectionFormat: "csv" },
            ],
            responses: { 200: { description: "", schema: { $ref: "#/definitions/Ok" } } },
          },
        },
      },
    },
  }).on("do", ({ credentials }) => ({ ok: credentials.user === "u" && credentials.password === "p:q" }));
  const headers = { authorization: `Basic ${btoa("u:p:q")}` };
  const answer = await ask(mock, "POST", "/api/do?ids=1,2", { body: new URLSearchParams({ n: "1" }), headers });
  assert.deepEqual(answer.body, { ok: true });
  mock.assertClean();
  assert.deepEqual(mock.calls[0]?.query, { ids: [1, 2] });
  await ask(mock, "POST", "/api/do?ids=x", { body: new URLSearchParams({ m: "1" }), headers });
  assert.equal(mock.violations.length, 3, mock.violations.join("\n"));
});

test("a discovery document: names of several segments are told apart by their patterns", async () => {
  const mock = createVendorMock({
    file: {
      rootUrl: "https://g.example/",
      servicePath: "",
      parameters: { alt: { type: "string", location: "query" } },
      schemas: {
        Thing: { id: "Thing", type: "object", properties: { name: { type: "string" }, child: { $ref: "Thing" } } },
      },
      resources: {
        users: {
          methods: {
            get: {
              id: "users.get",
              httpMethod: "GET",
              path: "v4/{+name}",
              parameters: { name: { type: "string", location: "path", required: true, pattern: "^users/[^/]+$" } },
              response: { $ref: "Thing" },
              scopes: ["s"],
            },
          },
          resources: {
            things: {
              methods: {
                get: {
                  id: "things.get",
                  httpMethod: "GET",
                  path: "v4/{+name}",
                  parameters: {
                    name: { type: "string", location: "path", required: true, pattern: "^users/[^/]+/things/[^/]+$" },
                  },
                  response: { $ref: "Thing" },
                  scopes: ["s"],
                },
              },
            },
          },
        },
      },
    },
  })
    .on("users.get", ({ path }) => ({ name: path["name"], child: { name: "x" } }))
    .on("things.get", () => ({ nam: "typing error" }));
  assert.deepEqual((await ask(mock, "GET", "/v4/users/me?alt=json")).body, { name: "users/me", child: { name: "x" } });
  assert.deepEqual(mock.violations, []);
  await ask(mock, "GET", "/v4/users/me/things/1");
  assert.match(mock.violations.join(), /things\.get answers: .*nam/);
});

const described = [
  "fitbit/fitbit-web-api.swagger.json",
  "fitbit/fitbit-web-api.with-response-schemas.openapi.json",
  "google-calendar/calendar-v3.events.discovery.json",
  "google-calendar/calendar-v3.events.swagger.json",
  "google-fit/fitness-v1.discovery.json",
  "google-fit/fitness-v1.swagger.json",
  "google-health/health-v4.discovery.json",
  "microsoft-graph/graph-v1.0.subset.openapi.json",
  "microsoft-graph/official-slice.calendar.openapi.json",
  "microsoft-graph/official-slice.contacts.openapi.json",
  "microsoft-graph/official-slice.messages.openapi.json",
  "nutritionix/track-api-v2.openapi.json",
  "plaid/plaid_2020-09-14.openapi.json",
  "twilio/api_v2010.messages-calls.openapi.json",
  "usda-fdc/fdc_api.openapi.json",
  "whatsapp/business-messaging-api_v23.0.openapi.json",
];

describeVendor("the vendors' own descriptions", described, () => {
  for (const file of described)
    test(`${file} is read, with a check for every operation`, () =>
      assert.ok(createVendorMock({ file }).compile() > 0));

  test("Plaid: every published example satisfies its schema", () => {
    const examples = createVendorMock({ file: "plaid/plaid_2020-09-14.openapi.json" }).examples();
    assert.ok(examples.length >= 20);
    assert.deepEqual(
      examples.filter(({ faults }) => faults.length > 0),
      [],
    );
  });

  test("Twilio: so do its own, once relative paths may stand for URIs, but for three that contradict theirs", () => {
    const examples = createVendorMock({
      file: "twilio/api_v2010.messages-calls.openapi.json",
      looseFormats: ["uri"],
    }).examples();
    assert.ok(examples.length >= 20);
    assert.deepEqual(
      examples.filter(({ faults }) => faults.length > 0).map(({ operation, name }) => `${operation} ${name}`),
      // A price as text, and an empty text for an application.
      ["ListCallRecording readFull", "FetchCallRecording fetch", "ListIncomingPhoneNumber readFull"],
    );
  });
});
