/**
 * The test kit: runs a plugin in the production sandbox, inside a hub that lives as long as the test process. Services the
 * plugin calls are scripted; events, log lines and requests are there to look at. Works under `backplane test DIR`, which
 * supplies what stands behind `testPlugin`.
 */

export interface TestPluginOptions {
  /** The plugin's folder. @default the folder under test */
  dir?: string;
  /** Configuration, secrets in plain; they are sealed as in production. @default the manifest's `defaultConfig` */
  config?: Record<string, unknown>;
  /** What is granted. @default "all" */
  grants?: "all" | readonly string[];
  /**
   * Connections that are made already, each with its access token, so that `ctx.config.<name>` works toward the connection's
   * hosts. The rest is not connected. @default none
   */
  connections?: Record<string, string>;
  /** Answers of the services that the plugin calls. A request without one is answered 501 and reported. */
  http?: readonly HttpScript[];
  /** Rows that are there at the beginning, by entity: `{ contacts: [{ id: "1", name: "Ada" }] }`. */
  data?: Record<string, readonly object[]>;
}

export interface HttpScript {
  /** @default any */
  method?: string;
  /**
   * The address without its query (which then may be anything), with its query (which then must be equal), or a pattern for the
   * whole. A `*` at the end stands for any rest.
   */
  url: string | RegExp;
  answer: HttpAnswer | ((request: RecordedRequest) => HttpAnswer | Promise<HttpAnswer>);
  /** How often it answers before a later script has its turn. @default always */
  times?: number;
}

export interface HttpAnswer {
  /** @default 200 */
  status?: number;
  headers?: Record<string, string>;
  /** Text and bytes are sent as they are, anything else as JSON. */
  body?: unknown;
}

/** A request as it left the hub, with secrets filled in. */
export interface RecordedRequest {
  method: string;
  url: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: string;
  /** The parsed body, when it is JSON. */
  json?: unknown;
}

export interface RecordedEvent {
  id: string;
  type: string;
  subject?: string;
  data: unknown;
}

export interface RecordedLog {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  data?: unknown;
}

export interface TestEvent {
  type: string;
  data?: unknown;
  subject?: string;
  /** @default a fresh id */
  id?: string;
}

export interface TestWebhookRequest {
  /** @default "POST" */
  method?: string;
  /** Below the plugin's webhook address, with the query. @default "" */
  path?: string;
  headers?: Record<string, string>;
  /** Text is sent as it is, anything else as JSON. */
  body?: unknown;
}

export interface TestWebhookAnswer {
  status: number;
  headers: Record<string, string>;
  body: unknown;
  /** What was accepted; `handleIncomingEvent` has taken it already. */
  accepted: unknown[];
}

/** What a failed call rejects with: the code and the sentence that a caller in production would see. */
export interface TestCallError extends Error {
  readonly name: "TestCallError";
  readonly code: string;
  /** Faults by field, for `invalid_parameters` and the like. */
  readonly errors?: readonly { path: string; message: string }[];
  /** Of a failed `sync`: what the next one would get. */
  readonly next?: TestSyncOptions;
}

export interface TestSyncOptions {
  since?: string;
  cursor?: unknown;
  cursors?: Record<string, unknown>;
  full?: boolean;
  types?: string[];
  limit?: number;
}

export interface TestSynced {
  /** What was yielded, oldest first, with the entities that `mapToUnifiedModel` made of it. */
  items: {
    id: string;
    type: string;
    updatedAt?: string;
    cursor?: unknown;
    deleted: boolean;
    total?: number;
    entities: { type: string; source?: string; externalId?: string; id?: string; data: object; deleted?: boolean }[];
  }[];
  /** What the next sync would get: hand it to `sync` again to test that. */
  next: TestSyncOptions;
  /** `next.cursor`. */
  cursor: unknown;
  /** Rows of the data model. */
  counts: { created: number; updated: number; deleted: number; unchanged: number };
}

export interface TestedPlugin extends AsyncDisposable {
  readonly id: string;
  /** Where vendors would post; `webhook` builds on it. */
  readonly webhookUrl: string;
  /** Calls a function. */
  call<T = unknown>(name: string, parameters?: object, options?: { sessionId?: string }): Promise<T>;
  /** Hands an event to every subscription that matches it, as a delivery would. Rejects when a handler throws. */
  deliver(event: TestEvent): Promise<void>;
  /** Posts to the webhook handler, then hands what it accepted to `handleIncomingEvent`. */
  webhook(request?: TestWebhookRequest): Promise<TestWebhookAnswer>;
  /** Calls a method of the channel. */
  channel<T = unknown>(method: string, ...args: unknown[]): Promise<T>;
  /**
   * Syncs once, as the hub would: items are mapped in the sandbox, checked and stored. Rejects with what `sync` threw; what came
   * before is stored.
   */
  sync(options?: TestSyncOptions): Promise<TestSynced>;
  /** Calls a method of the connector. What `handleIncomingEvent` answers is stored and published, as the hub would. */
  connector<T = unknown>(method: string, ...args: unknown[]): Promise<T>;
  condition(id: string, parameters?: object, context?: object): Promise<boolean>;
  action<T = unknown>(id: string, parameters?: object, context?: object): Promise<T>;
  /** The values of a variable. */
  variable<T = Record<string, unknown>>(name: string, context?: object): Promise<T[]>;
  dataAdapter<T = unknown>(name: string, method: string, ...args: unknown[]): Promise<T>;
  health(): Promise<unknown>;
  /** Replaces the configuration. */
  configure(config: Record<string, unknown>): Promise<void>;
  /** Replaces the grants. */
  grant(grants: "all" | readonly string[]): Promise<void>;
  /** Rows of an entity, oldest first. */
  rows(entity: string): Promise<Record<string, unknown>[]>;
  /** What the plugin published so far, oldest first. */
  readonly events: readonly RecordedEvent[];
  /** What it logged so far, oldest first. */
  readonly logs: readonly RecordedLog[];
  /** What it sent to services so far, oldest first. */
  readonly requests: readonly RecordedRequest[];
  close(): Promise<void>;
}

/** Where `backplane test` leaves the kit. */
export const testKitKey: unique symbol = Symbol.for("backplane.test-kit");

/** Installs the plugin in an organisation of its own, configures and activates it. */
export async function testPlugin(options: TestPluginOptions = {}): Promise<TestedPlugin> {
  const kit = (globalThis as { [testKitKey]?: (options: TestPluginOptions) => Promise<TestedPlugin> })[testKitKey];
  if (!kit) throw new Error("testPlugin() needs a hub around it: run this test with `backplane test DIR`.");
  return kit(options);
}
