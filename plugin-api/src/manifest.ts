/**
 * The manifest, `plugin.json`, as one JSON Schema (draft 2020-12). Editors use `manifest.schema.json`, which is generated
 * from here; the types below are inferred from it. Long because it is a table. Rules that cross fields live in the hub.
 */
import type { FromSchema } from "./from-schema.ts";

const extensible = { patternProperties: { "^x-": true }, additionalProperties: false } as const;

export const manifestSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "https://backplane.dev/schemas/manifest.schema.json",
  title: "Backplane plugin manifest",
  description: "What a plugin is, asks for and offers. Fields that begin with `x-` are kept and never read.",
  type: "object",
  required: ["id", "name", "version"],
  properties: {
    $schema: { type: "string", maxLength: 512, description: "Address of this schema, for editors." },
    id: { $ref: "#/$defs/pluginId" },
    name: { $ref: "#/$defs/title" },
    version: { $ref: "#/$defs/version" },
    description: { $ref: "#/$defs/text" },
    type: {
      enum: ["connector", "channel", "operator", "domain"],
      default: "domain",
      description: "What the plugin mainly is; it may contribute more.",
    },
    runtime: {
      enum: ["isolate", "remote"],
      default: "isolate",
      description: "How its code runs: in the hub's sandbox, or as an HTTP service of its own.",
    },
    entrypoint: { $ref: "#/$defs/entrypoint" },
    permissions: {
      $ref: "#/$defs/permissions",
      description: "Needed: the plugin is not activated before all are granted.",
    },
    optionalPermissions: { $ref: "#/$defs/permissions", description: "Useful: the plugin works without them." },
    dependencies: {
      type: "object",
      maxProperties: 64,
      additionalProperties: { type: "string", maxLength: 128 },
      description: 'Plugin ids with version ranges, such as `{"acme.base": "^1.2.0"}`.',
    },
    capabilities: { $ref: "#/$defs/words", description: "Free labels for what the plugin is good for." },
    configSchema: { $ref: "#/$defs/jsonSchema", description: "JSON Schema of the settings an organisation makes." },
    defaultConfig: {
      type: "object",
      additionalProperties: true,
      description: "Settings used where an organisation makes none.",
    },
    contributes: { $ref: "#/$defs/contributes" },
    resources: { $ref: "#/$defs/resources" },
    author: {
      type: ["string", "object"],
      maxLength: 200,
      properties: {
        name: { $ref: "#/$defs/title" },
        email: { type: "string", maxLength: 200 },
        url: { $ref: "#/$defs/url" },
      },
      required: ["name"],
      ...extensible,
    },
    license: { type: "string", maxLength: 100 },
    homepage: { $ref: "#/$defs/url" },
    repository: { $ref: "#/$defs/url" },
    icon: { type: "string", maxLength: 512, description: "Path of an image in the package." },
    category: { type: "string", maxLength: 64 },
    keywords: { $ref: "#/$defs/words" },
    engines: {
      type: "object",
      properties: { backplane: { type: "string", maxLength: 128, description: "Range of hub versions." } },
      ...extensible,
    },
    contracts: { $ref: "#/$defs/words", description: "Names of the interfaces the plugin implements." },
    traits: {
      $ref: "#/$defs/words",
      description: "What the plugin handles or needs: `handles_pii`, `audit_required`, …",
    },
    security: {
      type: "object",
      properties: {
        authenticationRequired: { const: true },
        dataClassification: {
          type: "array",
          minItems: 1,
          uniqueItems: true,
          items: { enum: ["public", "internal", "confidential", "pii", "phi"] },
        },
      },
      ...extensible,
    },
    compliance: {
      type: "object",
      properties: {
        hipaaControls: {
          type: "array",
          maxItems: 100,
          items: {
            type: "string",
            maxLength: 40,
            pattern: "^[0-9]{3}\\.[0-9]{1,4}(\\([0-9a-z]{1,4}\\))*$",
            patternErrorMessage: "Write a section of the rule, such as `164.312(a)`.",
          },
        },
        auditLevel: { enum: ["none", "basic", "detailed", "complete"] },
        dataRetentionDays: { type: "integer", minimum: 0, maximum: 36500 },
      },
      ...extensible,
    },
    health: {
      type: "object",
      properties: {
        type: { enum: ["handler", "http", "tcp"] },
        path: {
          type: "string",
          maxLength: 256,
          pattern: "^/",
          patternErrorMessage: "Write a path that begins with `/`.",
        },
        port: { type: "integer", minimum: 1, maximum: 65535 },
        intervalSeconds: { type: "integer", minimum: 5, maximum: 86400 },
      },
      ...extensible,
    },
  },
  ...extensible,
  $defs: {
    pluginId: {
      type: "string",
      maxLength: 128,
      pattern:
        "^[a-z0-9]+(-+[a-z0-9]+)*(\\.[a-z0-9]+(-+[a-z0-9]+)*)*(/[a-z0-9]+(-+[a-z0-9]+)*(\\.[a-z0-9]+(-+[a-z0-9]+)*)*)?$",
      patternErrorMessage:
        "Write lower-case ASCII letters and digits, joined by `.` or `-`, with at most one `/`: `acme.greeter`, `acme/greeter`.",
    },
    version: {
      type: "string",
      maxLength: 64,
      pattern: "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$",
      patternErrorMessage: "Write a semantic version: `1.2.3` or `1.2.3-beta.1`.",
    },
    entrypoint: {
      type: "string",
      maxLength: 256,
      pattern: "^(\\./)?([A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*/)*[A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*$",
      patternErrorMessage: "Write a path inside the package, such as `./index.ts`.",
      description: "The file that exports the plugin; none: a declaration without code.",
    },
    title: { type: "string", minLength: 1, maxLength: 128 },
    text: { type: "string", maxLength: 4096 },
    url: {
      type: "string",
      maxLength: 512,
      pattern: "^https?://",
      patternErrorMessage: "Write an address that begins with `https://`.",
    },
    words: {
      type: "array",
      maxItems: 64,
      uniqueItems: true,
      items: {
        type: "string",
        maxLength: 64,
        pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        patternErrorMessage: "Write one word of letters, digits, `_`, `-` and `.`.",
      },
    },
    permissions: {
      type: "array",
      maxItems: 128,
      items: {
        type: "string",
        maxLength: 320,
        examples: [
          "network:outbound:api.vendor.com",
          "network:inbound",
          "event:publish:greeter.*",
          "event:subscribe:order.*",
          "data:read:contacts",
        ],
      },
    },
    jsonSchema: { type: "object", additionalProperties: true },
    identifier: {
      type: "string",
      maxLength: 64,
      pattern: "^[A-Za-z][A-Za-z0-9_]*$",
      patternErrorMessage: "Write a letter followed by letters, digits and `_`, such as `createLead`.",
    },
    operatorId: {
      type: "string",
      maxLength: 128,
      pattern: "^[a-z][A-Za-z0-9-]*(\\.[A-Za-z][A-Za-z0-9-]*)+$",
      patternErrorMessage: "Write a domain and a name, such as `comms.sendSms`.",
    },
    eventPattern: { type: "string", maxLength: 200 },
    function: {
      type: "object",
      required: ["name"],
      properties: {
        name: { $ref: "#/$defs/identifier" },
        description: { $ref: "#/$defs/text" },
        parameters: { $ref: "#/$defs/jsonSchema", description: "JSON Schema of the one object the function takes." },
        returns: { $ref: "#/$defs/jsonSchema", description: "JSON Schema of the result." },
        permissions: {
          $ref: "#/$defs/permissions",
          description: "Must be granted for this function; declared above as well.",
        },
        idempotent: { type: "boolean", default: false, description: "May be run again when its runner was lost." },
        examples: { type: "array", maxItems: 20 },
      },
      ...extensible,
    },
    operator: {
      type: "object",
      required: ["id"],
      properties: {
        id: { $ref: "#/$defs/operatorId" },
        name: { $ref: "#/$defs/title" },
        description: { $ref: "#/$defs/text" },
        parameters: { $ref: "#/$defs/jsonSchema" },
        permissions: { $ref: "#/$defs/permissions" },
        idempotent: { type: "boolean", default: false },
      },
      ...extensible,
    },
    dataAdapter: {
      type: "object",
      required: ["name"],
      properties: {
        name: {
          type: "string",
          maxLength: 64,
          pattern: "^[A-Za-z][A-Za-z0-9_-]*$",
          patternErrorMessage: "Write a letter followed by letters, digits, `_` and `-`, such as `local-database`.",
        },
        type: { enum: ["database", "api", "service"] },
        description: { $ref: "#/$defs/text" },
        entities: { $ref: "#/$defs/words" },
        config: { type: "object", additionalProperties: true },
      },
      ...extensible,
    },
    connection: {
      type: "object",
      required: ["grant", "tokenUrl", "hosts"],
      properties: {
        title: { $ref: "#/$defs/title" },
        description: { $ref: "#/$defs/text" },
        grant: { enum: ["authorization_code", "client_credentials"] },
        authorizationUrl: {
          $ref: "#/$defs/url",
          description: "Where the user agrees. `{field}` stands for a field of the configuration.",
        },
        tokenUrl: { $ref: "#/$defs/url", description: "`{field}` stands for a field of the configuration." },
        revocationUrl: {
          $ref: "#/$defs/url",
          description:
            "Where the hub takes tokens back when the connection ends (RFC 7009); on the host of `tokenUrl`.",
        },
        renewAfterDays: {
          type: "integer",
          minimum: 1,
          maximum: 365,
          default: 7,
          description:
            "A refresh token that nobody has used for so long is used by the hub, before the service lets it lapse.",
        },
        scopes: { type: "array", maxItems: 64, items: { type: "string", maxLength: 200 } },
        hosts: {
          type: "array",
          minItems: 1,
          maxItems: 16,
          items: { type: "string", maxLength: 253 },
          description: "Hosts that the access token is sent to, and no others.",
        },
        clientId: { type: "string", maxLength: 64, default: "clientId", description: "Field of the configuration." },
        clientSecret: {
          type: "string",
          maxLength: 64,
          default: "clientSecret",
          description: "Secret field of the configuration; public clients have none.",
        },
        clientAuthentication: { enum: ["basic", "post", "none"], default: "basic" },
        pkce: { type: "boolean", default: true },
        parameters: {
          type: "object",
          maxProperties: 16,
          additionalProperties: { type: "string", maxLength: 500 },
          description: "Further parameters of the authorisation request, such as `access_type`.",
        },
      },
      ...extensible,
    },
    contributes: {
      type: "object",
      description: "What the plugin offers.",
      properties: {
        functions: { type: "array", maxItems: 256, items: { $ref: "#/$defs/function" } },
        subscriptions: {
          type: "array",
          maxItems: 64,
          items: { $ref: "#/$defs/eventPattern" },
          description: "Event types, or domains such as `order.*`, each with a handler in the code.",
        },
        connector: {
          type: "object",
          properties: {
            description: { $ref: "#/$defs/text" },
            entities: { $ref: "#/$defs/words" },
            schedule: {
              type: "string",
              maxLength: 100,
              description:
                "Cron expression of the regular sync in UTC, or an interval such as `every 15m`; an organisation may change it.",
            },
            fullSchedule: {
              type: "string",
              maxLength: 100,
              description: "The same for full syncs, which also find what was deleted at the service.",
            },
            ordered: {
              type: "boolean",
              default: false,
              description:
                "Items come sorted by `updatedAt`, then `id`, so that a broken sync goes on in the middle. Not needed for items with a `cursor` of their own.",
            },
            realtime: { type: "boolean", description: "Has `registerRealtimeListener`." },
            actions: { type: "array", maxItems: 128, items: { $ref: "#/$defs/function" } },
          },
          ...extensible,
        },
        channel: {
          type: "object",
          properties: {
            description: { $ref: "#/$defs/text" },
            types: { $ref: "#/$defs/words", description: "`sms`, `voice`, `video`, `email`, `whatsapp`, `fax`, …" },
            ratePerSecond: {
              type: "number",
              minimum: 0.01,
              maximum: 1000,
              description: "How many messages the service takes in a second; more wait. @default 10",
            },
            idempotent: {
              type: "boolean",
              default: false,
              description:
                "The service knows a repeated `message.id`, so a send whose outcome is unknown is tried again; otherwise it is not.",
            },
          },
          ...extensible,
        },
        conditions: { type: "array", maxItems: 128, items: { $ref: "#/$defs/operator" } },
        actions: { type: "array", maxItems: 128, items: { $ref: "#/$defs/operator" } },
        variables: {
          type: "array",
          maxItems: 64,
          items: {
            type: "object",
            required: ["name"],
            properties: {
              name: { $ref: "#/$defs/identifier" },
              description: { $ref: "#/$defs/text" },
              schema: { $ref: "#/$defs/jsonSchema", description: "JSON Schema of one value of the list." },
            },
            ...extensible,
          },
        },
        connections: {
          type: "object",
          maxProperties: 8,
          propertyNames: { pattern: "^[A-Za-z][A-Za-z0-9_]*$", maxLength: 64 },
          additionalProperties: { $ref: "#/$defs/connection" },
          description:
            "OAuth 2 connections that the hub makes and keeps; each appears in `ctx.config` as a sealed access token of its name.",
        },
        dataAdapters: { type: "array", maxItems: 32, items: { $ref: "#/$defs/dataAdapter" } },
        instructions: { type: "string", maxLength: 32768, description: "What an agent that uses this plugin is told." },
        webhook: {
          type: "object",
          properties: { description: { $ref: "#/$defs/text" } },
          ...extensible,
        },
        endpoints: {
          type: "object",
          maxProperties: 64,
          additionalProperties: {
            type: "object",
            required: ["path"],
            properties: {
              path: {
                type: "string",
                maxLength: 256,
                pattern: "^/",
                patternErrorMessage: "Write a path that begins with `/`.",
              },
              method: { enum: ["GET", "POST", "PUT", "PATCH", "DELETE"] },
              description: { $ref: "#/$defs/text" },
            },
            ...extensible,
          },
          description: "HTTP endpoints of a remote plugin by name.",
        },
      },
      ...extensible,
    },
    resources: {
      type: "object",
      description: "What the plugin needs at most; the hub cuts it to its own ceiling.",
      properties: {
        memoryMb: { type: "integer", minimum: 8, maximum: 8192 },
        cpuMs: { type: "integer", minimum: 10, maximum: 3600000, description: "CPU time of one call, milliseconds." },
        timeoutMs: {
          type: "integer",
          minimum: 50,
          maximum: 86400000,
          description: "Wall time of one call, milliseconds.",
        },
        concurrency: { type: "integer", minimum: 1, maximum: 1024, description: "Calls that run at once." },
        messagesPerMinute: {
          type: "integer",
          minimum: 1,
          maximum: 6000,
          description: "Messages that it asks for by `comms.MessageRequested` in a minute.",
        },
        cpuCores: { type: "number", minimum: 0.1, maximum: 8, description: "Remote plugins: cores of the service." },
      },
      ...extensible,
    },
  },
} as const;

/** A manifest as an author may write it: only `id`, `name` and `version` are required. */
export type ManifestSource = FromSchema<typeof manifestSchema>;

type Defaulted =
  | "type"
  | "runtime"
  | "permissions"
  | "optionalPermissions"
  | "dependencies"
  | "capabilities"
  | "configSchema"
  | "defaultConfig"
  | "contributes";

/** The canonical manifest: a validated `ManifestSource` whose defaults are filled in. */
export type Manifest = Omit<ManifestSource, Defaulted> & { [K in Defaulted]-?: NonNullable<ManifestSource[K]> };

export type ManifestFunction = FromSchema<typeof manifestSchema.$defs.function, typeof manifestSchema.$defs>;
export type ManifestOperator = FromSchema<typeof manifestSchema.$defs.operator, typeof manifestSchema.$defs>;
export type ManifestContributes = FromSchema<typeof manifestSchema.$defs.contributes, typeof manifestSchema.$defs>;
export type ManifestResources = FromSchema<typeof manifestSchema.$defs.resources, typeof manifestSchema.$defs>;
export type PluginType = Manifest["type"];
