import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { manifestSchema } from "../../plugin-api/src/manifest.ts";
import { isManifestSchemaFresh } from "../../tools/gen-manifest-schema.ts";
import { BackplaneError } from "../errors/error.ts";
import { assertManifest, parseManifest } from "./parse-manifest.ts";

const greeter = {
  id: "acme.greeter",
  name: "Greeter",
  version: "1.0.0",
  type: "domain",
  entrypoint: "./index.ts",
  permissions: ["event:publish:greeter.*", "event:subscribe:order.*"],
  configSchema: { type: "object", properties: { greeting: { type: "string" } }, required: ["greeting"] },
  contributes: {
    functions: [
      {
        name: "hello",
        description: "Greets someone",
        parameters: {
          type: "object",
          properties: { who: { type: "string" } },
          required: ["who"],
          additionalProperties: false,
        },
      },
    ],
    subscriptions: ["order.*"],
  },
};

/** The manifests of the reference documents, word for word. */
const graph = {
  id: "com.microsoft.graph",
  name: "Microsoft Graph Connector",
  version: "1.0.0",
  type: "connector",
  entrypoint: "./index.ts",
  permissions: ["network:outbound:graph.microsoft.com", "event:publish:connector.*", "event:publish:data.*"],
  configSchema: {
    type: "object",
    properties: { clientId: { type: "string" }, tenantId: { type: "string" } },
    required: ["clientId", "tenantId"],
  },
};
const commsRules = {
  id: "io.madeopen.comms-rules",
  name: "Communications Rule Operators",
  version: "1.0.0",
  type: "operator",
  entrypoint: "./index.ts",
  permissions: [
    "data:read:conversations",
    "data:read:messages",
    "data:read:tasks",
    "data:write:tasks",
    "event:publish:comms.*",
  ],
};
const slackNotifier = {
  id: "mlebotics/slack-notifier",
  name: "Slack Notifier",
  version: "1.2.0",
  description: "Send workflow notifications to Slack.",
  author: "MLEbotics",
  license: "MIT",
  capabilities: ["notification"],
  permissions: ["network:outbound", "read:org"],
  config: [
    { key: "channel", type: "string", label: "Channel", required: true },
    { key: "token", type: "string", label: "Bot Token", required: true },
  ],
};
const userManagement = {
  id: "user-management",
  name: "User Management Plugin",
  version: "1.0.0",
  description: "Manages user profiles and extended attributes",
  contracts: ["IdentityPlugin"],
  traits: ["handles_pii", "audit_required"],
  dependencies: [],
  allowed_domains: [],
  endpoints: { health: "/health", user_info: "/api/users/{id}" },
  security: { authentication_required: true, data_classification: ["pii", "internal"] },
  compliance: { hipaa_controls: ["164.312(a)", "164.312(d)"], audit_level: "detailed" },
};
const sdk = {
  id: "com.vendor.thing",
  name: "Thing",
  version: "0.1.0",
  type: "connector",
  entrypoint: "./index.ts",
  permissions: { network: ["api.vendor.com"], data: ["contacts", "write:tasks"] },
  config: [{ key: "clientId", type: "string", required: true }],
};

const examples: [name: string, dialect: string, manifest: object][] = [
  ["the greeter of the contract", "canonical", greeter],
  ["Made Open's Microsoft Graph connector", "made-open", graph],
  ["Made Open's communications operators", "made-open", commsRules],
  ["a manifest of Made Open's SDK", "made-open-sdk", sdk],
  ["MLEbotics' Slack notifier", "mlebotics", slackNotifier],
  ["Vivified's user management", "vivified", userManagement],
];

const faultsOf = (source: unknown): Record<string, string> =>
  Object.fromEntries(parseManifest(source).faults.map((fault) => [fault.path, fault.message]));
const changed = (change: object): object => ({ ...greeter, ...change });

describe("parseManifest", () => {
  for (const [name, dialect, manifest] of examples) {
    test(`reads ${name} as it stands, and its canonical form once more to the same`, () => {
      const first = parseManifest(manifest);
      assert.deepEqual(first.faults, []);
      assert.equal(first.dialect, dialect);
      const again = parseManifest(JSON.stringify(first.manifest));
      assert.deepEqual(again.faults, []);
      assert.deepEqual(again.manifest, first.manifest);
    });
  }

  test("fills defaults, and a connector contributes one", () => {
    const { manifest } = parseManifest(graph);
    assert.equal(manifest?.runtime, "isolate");
    assert.deepEqual(manifest?.optionalPermissions, []);
    assert.deepEqual(manifest?.contributes, { connector: {} });
    assert.equal(parseManifest({ id: "a", name: "A", version: "1.0.0" }).manifest?.type, "domain");
  });

  test("turns MLEbotics' config list into a schema whose token is sealed and bound to no host", () => {
    assert.deepEqual(parseManifest(slackNotifier).manifest?.configSchema, {
      type: "object",
      properties: {
        channel: { type: "string", title: "Channel", minLength: 1 },
        token: { type: "string", format: "secret", hosts: [], title: "Bot Token", minLength: 1 },
      },
      required: ["channel", "token"],
      additionalProperties: false,
    });
  });

  test("turns the SDK's structured permissions into flat ones", () => {
    assert.deepEqual(parseManifest(sdk).manifest?.permissions, [
      "network:outbound:api.vendor.com",
      "data:read:contacts",
      "data:write:tasks",
    ]);
  });

  test("turns Vivified's fields into ours and its service into a remote plugin", () => {
    const { manifest } = parseManifest(userManagement);
    assert.equal(manifest?.runtime, "remote");
    assert.deepEqual(manifest?.security, { authenticationRequired: true, dataClassification: ["pii", "internal"] });
    assert.deepEqual(manifest?.contributes.endpoints, {
      health: { path: "/health" },
      user_info: { path: "/api/users/{id}" },
    });
  });

  test("places faults of a dialect where its author wrote them", () => {
    const bad = {
      ...slackNotifier,
      capabilities: ["notifcation"],
      config: [{ key: "channel", type: "sting" }, { key: "channel" }, { label: "x" }],
    };
    const faults = faultsOf(JSON.stringify(bad));
    assert.match(faults["capabilities[0]"]!, /Did you mean `notification`/);
    assert.match(faults["config[0].type"]!, /Did you mean `string`/);
    assert.match(faults["config[1].key"]!, /twice/);
    assert.match(faults["config[2]"]!, /`key`/);
    assert.match(faultsOf({ ...sdk, permissions: { network: ["com"] } })["permissions.network[0]"]!, /public suffix/);
    assert.match(
      faultsOf({ ...userManagement, allowed_domains: ["localhost"] })["allowed_domains[0]"]!,
      /local network/,
    );
    assert.match(
      faultsOf({ ...userManagement, security: { authentication_required: false, data_classification: ["pii"] } })[
        "security.authentication_required"
      ]!,
      /true/,
    );
  });

  test("reports all faults at once, each with path, line, column and what to write", () => {
    const text = [
      "{",
      '  "id": "Acme.Greeter",',
      '  "nme": "Greeter",',
      '  "version": "v1.2",',
      '  "entrypoint": "../x.ts",',
      '  "permissions": ["network:outbound:com",',
      '    "event:subscribe:order.*"],',
      '  "contributes": { "subscriptions": ["invoice.*"] }',
      "}",
    ].join("\n");
    const { manifest, faults } = parseManifest(text, { file: "plugin.json" });
    assert.equal(manifest, undefined);
    const seen = faults.map(({ path, line, column }) => `${path} ${line}:${column}`).sort();
    assert.deepEqual(seen, [
      "contributes.subscriptions[0] 8:38",
      "entrypoint 5:17",
      "id 2:9",
      "name 1:1",
      "nme 3:3",
      "permissions[0] 6:19",
      "version 4:14",
    ]);
    const by = Object.fromEntries(faults.map((fault) => [fault.path, fault.message]));
    assert.match(by["id"]!, /`acme\.greeter`/);
    assert.match(by["nme"]!, /Did you mean `name`/);
    assert.match(by["version"]!, /`1\.2\.0`/);
  });

  const single: [title: string, manifest: unknown, path: string, sentence: RegExp][] = [
    ["an id with a look-alike letter", changed({ id: "acme.grееter" }), "id", /ASCII/],
    ["an id that is too long", changed({ id: "a".repeat(129) }), "id", /at most 128/],
    ["an id with two slashes", changed({ id: "a/b/c" }), "id", /more than one/],
    ["an id that climbs", changed({ id: "../x" }), "id", /not a plugin id/],
    ["a version with build metadata", changed({ version: "1.0.0+5" }), "version", /build metadata/],
    ["an absolute entrypoint", changed({ entrypoint: "/etc/x.js" }), "entrypoint", /absolute/],
    ["an entrypoint with backslashes", changed({ entrypoint: "src\\index.ts" }), "entrypoint", /backslashes/],
    ["an entrypoint that climbs later", changed({ entrypoint: "./a/../../x.js" }), "entrypoint", /out of the package/],
    ["a field of the wrong type", changed({ permissions: "network:inbound" }), "permissions", /a list, not a text/],
    ["a function at the top", changed({ functions: [] }), "functions", /contributes\.functions/],
    [
      "a misspelt contribution",
      changed({ contributes: { function: [] } }),
      "contributes.function",
      /Did you mean `functions`/,
    ],
    ["a permission twice", changed({ permissions: ["read:org", "read:org"] }), "permissions[1]", /already/],
    [
      "a permission both required and optional",
      changed({ optionalPermissions: ["event:publish:greeter.*"] }),
      "optionalPermissions[0]",
      /already/,
    ],
    [
      "an optional permission that a required one covers",
      changed({ optionalPermissions: ["event:publish:greeter.saw"] }),
      "optionalPermissions[0]",
      /part of what/,
    ],
    [
      "files outside a remote agent",
      changed({ optionalPermissions: ["filesystem:read:/srv/x"] }),
      "optionalPermissions[0]",
      /remote device agents/,
    ],
    [
      "a subscription without permission",
      changed({ contributes: { subscriptions: ["invoice.*"] } }),
      "contributes.subscriptions[0]",
      /add `event:subscribe:invoice\.\*`/,
    ],
    [
      "a subscription to everything",
      changed({ contributes: { subscriptions: ["*"] } }),
      "contributes.subscriptions[0]",
      /every event/,
    ],
    ["a webhook without inbound", changed({ contributes: { webhook: {} } }), "contributes.webhook", /network:inbound/],
    [
      "two functions of one name",
      changed({ contributes: { functions: [{ name: "a" }, { name: "a" }] } }),
      "contributes.functions[1].name",
      /twice/,
    ],
    [
      "a function named as every object's",
      changed({ contributes: { functions: [{ name: "toString" }] } }),
      "contributes.functions[0].name",
      /every object/,
    ],
    [
      "a function name that is no identifier",
      changed({ contributes: { functions: [{ name: "a b" }] } }),
      "contributes.functions[0].name",
      /letters, digits/,
    ],
    [
      "a function that needs more than the plugin",
      changed({ contributes: { functions: [{ name: "a", permissions: ["data:read:x"] }] } }),
      "contributes.functions[0].permissions[0]",
      /does not ask/,
    ],
    [
      "a dependency on itself",
      changed({ dependencies: { "acme.greeter": "*" } }),
      'dependencies["acme.greeter"]',
      /itself/,
    ],
    [
      "a range that is none",
      changed({ dependencies: { "acme.base": "newest" } }),
      'dependencies["acme.base"]',
      /version range/,
    ],
    ["a dependency id with a capital", changed({ dependencies: { Base: "1" } }), "dependencies.Base", /upper-case/],
    [
      "a config schema that is no object's",
      changed({ configSchema: { type: "string" } }),
      "configSchema.type",
      /describe an object/,
    ],
    [
      "a misspelt schema keyword",
      changed({ configSchema: { type: "object", propertis: {} } }),
      "configSchema.propertis",
      /Did you mean `properties`/,
    ],
    [
      "a secret with a default",
      changed({
        configSchema: { type: "object", properties: { k: { type: "string", format: "secret", default: "x" } } },
      }),
      "configSchema.properties.k.default",
      /may not have/,
    ],
    [
      "a secret toward a host it may not reach",
      changed({
        configSchema: {
          type: "object",
          properties: { k: { type: "string", format: "secret", hosts: ["api.vendor.com"] } },
        },
      }),
      "configSchema.properties.k.hosts[0]",
      /may not reach/,
    ],
    [
      "a default that the schema refuses",
      changed({ defaultConfig: { greeting: 5 } }),
      "defaultConfig",
      /`greeting`: It must be a text/,
    ],
    ["memory as text", changed({ resources: { memoryMb: "64" } }), "resources.memoryMb", /whole number/],
    ["a reserved trait", changed({ traits: ["root"] }), "traits[0]", /reserved/],
    [
      "health data without controls",
      changed({ traits: ["handles_phi", "audit_required"], security: { dataClassification: ["phi"] } }),
      "compliance",
      /hipaaControls/,
    ],
    [
      "personal data without classification",
      changed({ traits: ["handles_pii", "audit_required"] }),
      "traits",
      /dataClassification/,
    ],
    ["no object", [], "$", /must be a JSON object/],
    ["nothing", undefined, "$", /no JSON object/],
    ["a BigInt", { id: 1n }, "$", /no JSON object/],
  ];
  for (const [title, manifest, path, sentence] of single) {
    test(`refuses ${title}`, () =>
      assert.match(faultsOf(manifest)[path] ?? `no fault at ${path}: ${JSON.stringify(faultsOf(manifest))}`, sentence));
  }

  test("takes a secret bound to hosts that a wildcard or the bare permission covers", () => {
    const secret = {
      configSchema: {
        type: "object",
        properties: { k: { type: "string", format: "secret", hosts: ["api.vendor.com"] } },
      },
    };
    for (const held of ["network:outbound", "network:outbound:*.vendor.com", "network:outbound:api.vendor.com"]) {
      assert.deepEqual(
        parseManifest({ id: "a", name: "A", version: "1.0.0", permissions: [held], ...secret }).faults,
        [],
      );
    }
  });

  test("takes a folder on devices from a plugin that speaks for their agents", () => {
    assert.deepEqual(
      faultsOf(changed({ optionalPermissions: ["filesystem:read:/srv/x"], traits: ["device_agent"] })),
      {},
    );
  });

  test("keeps fields that begin with x-, and reads comments", () => {
    const { manifest, faults } = parseManifest(
      '{ // who\n "id": "a.b", "name": "A", /* x */ "version": "1.0.0", "x-team": {"a": 1} }',
    );
    assert.deepEqual(faults, []);
    assert.deepEqual((manifest as unknown as Record<string, unknown>)["x-team"], { a: 1 });
  });

  const unreadable: [title: string, text: string, sentence: RegExp][] = [
    ["empty text", "", /not valid JSON/],
    ["half a file", '{"id": "a"', /`}` is missing/],
    ["a trailing comma", '{"id": "a",}', /comma too many/],
    ["single quotes", "{'id': 'a'}", /double quotes/],
    ["more than 256 KB", JSON.stringify({ id: "x".repeat(300_000) }), /at most 262144/],
    ["deep nesting", "[".repeat(100_000), /deeper than 32/],
    ["a name twice", '{"id": "a", "id": "b"}', /twice/],
    ["__proto__", '{"__proto__": {"id": "a"}}', /may not be called/],
    ["constructor", '{"configSchema": {"properties": {"constructor": {}}}}', /may not be called/],
    ["half a character", '{"id": "\\ud800"}', /half a character/],
    ["a NUL", '{"name": "a\\u0000b"}', /NUL/],
    ["a number without end", '{"resources": {"memoryMb": 1e999}}', /too large/],
  ];
  for (const [title, text, sentence] of unreadable) {
    test(`refuses ${title}`, () =>
      assert.match(
        parseManifest(text)
          .faults.map((fault) => fault.message)
          .join("\n"),
        sentence,
      ));
  }

  test("a polluting name changes no prototype", () => {
    parseManifest(
      '{"id": "a", "__proto__": {"polluted": 1}, "contributes": {"constructor": {"prototype": {"polluted": 1}}}}',
    );
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });

  test("gives out a manifest that nobody can change", () => {
    const { manifest } = parseManifest(greeter);
    assert.throws(() => manifest?.permissions.push("network:inbound"), TypeError);
  });

  test("assertManifest throws invalid_manifest with every fault", () => {
    assert.throws(
      () => assertManifest(changed({ id: "X", version: "1" })),
      (error) => error instanceof BackplaneError && error.code === "invalid_manifest" && error.errors?.length === 2,
    );
  });

  test("the manifest's schema is itself valid, which the hub does not check at each start", () => {
    assert.equal(new Ajv2020({ strict: false }).validateSchema(manifestSchema), true);
  });

  test("the generated JSON Schema is up to date", async () => {
    assert.ok(await isManifestSchemaFresh(), "run: node tools/gen-manifest-schema.ts");
  });
});

describe("parseManifest on anything", () => {
  const known = fc.constantFrom(
    "id",
    "name",
    "version",
    "type",
    "permissions",
    "config",
    "configSchema",
    "contributes",
    "security",
    "resources",
    "dependencies",
    "traits",
    "defaultConfig",
  );
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    fc.constantFrom(...examples.map(([, , manifest]) => manifest as never)),
  );

  test("gives either a manifest or faults, and never throws", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...examples.map(([, , manifest]) => manifest)),
        fc.dictionary(known, value, { maxKeys: 3 }),
        (base, change) => {
          const { manifest, faults } = parseManifest({ ...base, ...change });
          assert.equal(manifest === undefined, faults.length > 0);
          for (const fault of faults) assert.ok(fault.path.length > 0 && /[.!?]$/.test(fault.message), fault.message);
          if (manifest !== undefined) assert.deepEqual(parseManifest(manifest).faults, []);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("survives text cut, doubled or mixed anywhere, with every fault inside the file", () => {
    const text = JSON.stringify(greeter, null, 2);
    const lines = text.split("\n").length;
    fc.assert(
      fc.property(
        fc.nat(text.length),
        fc.nat(text.length),
        fc.string({ unit: "binary", maxLength: 5 }),
        (from, to, between) => {
          const broken = text.slice(0, from) + between + text.slice(to);
          const { manifest, faults } = parseManifest(broken);
          assert.equal(manifest === undefined, faults.length > 0);
          for (const fault of faults) assert.ok(fault.line! >= 1 && fault.line! <= 2 * lines + 5 && fault.column! >= 1);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("takes no value of the wrong type at any place of a valid manifest", () => {
    const places: (string | number)[][] = [
      ["id"],
      ["name"],
      ["version"],
      ["type"],
      ["entrypoint"],
      ["permissions"],
      ["permissions", 0],
      ["configSchema"],
      ["contributes"],
      ["contributes", "functions"],
      ["contributes", "functions", 0],
      ["contributes", "functions", 0, "name"],
      ["contributes", "functions", 0, "parameters"],
      ["contributes", "subscriptions", 0],
    ];
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.constantFrom<unknown>(null, 5, true, "x y", ["a"]), (place, wrong) => {
        const copy = structuredClone(greeter) as unknown as Record<string | number, unknown>;
        let here = copy;
        for (const segment of place.slice(0, -1)) here = here[segment] as Record<string | number, unknown>;
        const isName = place.length === 1 && place[0] === "name" && wrong === "x y";
        here[place.at(-1)!] = wrong;
        assert.equal(parseManifest(copy).manifest !== undefined, isName);
      }),
    );
  });
});
