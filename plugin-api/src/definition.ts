/** What `definePlugin` takes: one place per kind of contribution. The hub calls a handler only when the manifest declares it. */
import type { Channel } from "./channel.ts";
import type { Connector } from "./connector.ts";
import type { ConfigShape, PluginContext } from "./context.ts";
import type { DataAdapter } from "./data-adapter.ts";
import type { ActionOperator, ConditionOperator, RuleVariable } from "./operators.ts";

export interface PluginDefinition<Config extends object = ConfigShape> {
  /** Called once after the code was loaded, before any other handler. A failure here fails the call that made it load. */
  init?(ctx: PluginContext<Config>): Promise<void> | void;
  /** Handlers of `contributes.functions`, by name. */
  functions?: Record<string, PluginFunction<Config>>;
  /** Handlers of `contributes.subscriptions`, by pattern. Thrown errors make the delivery come again later. */
  subscriptions?: Record<string, EventHandler<Config>>;
  /** Rule conditions, by operator id. */
  conditions?: Record<string, ConditionOperator<Config>>;
  /** Rule actions, by operator id. */
  actions?: Record<string, ActionOperator<Config>>;
  /** Names that rules may use in templates. */
  variables?: Record<string, RuleVariable<Config>>;
  connector?: Connector<Config>;
  channel?: Channel<Config>;
  /** Answers inbound HTTP within 10 s. Needs `network:inbound`. */
  webhook?: WebhookHandler<Config>;
  /** Data adapters, by name. */
  dataAdapters?: Record<string, DataAdapter<Config>>;
  /** Asked from time to time. Throwing means `unhealthy`. */
  health?(ctx: PluginContext<Config>): Promise<HealthReport> | HealthReport;
  /** Called before the code is let go. */
  stop?(ctx: PluginContext<Config>): Promise<void> | void;
}

/**
 * A callable function. `parameters` were checked against the schema in the manifest. The result must be JSON data. Write the parameters' type where you need it: `async hello({ who }: { who: string }, ctx)`.
 */
export type PluginFunction<Config extends object = ConfigShape> = {
  // A method's parameters are compared both ways, so that a handler may state a narrower parameters type.
  handler(parameters: Record<string, unknown>, ctx: PluginContext<Config>): unknown;
}["handler"];

/** A CloudEvents 1.0 event. `id` is the same when the same event is delivered again. */
export interface PluginEvent<Data = unknown> {
  id: string;
  type: string;
  source: string;
  subject?: string;
  /** RFC 3339 UTC. */
  time: string;
  data: Data;
  organization: string;
  traceparent?: string;
}

export type EventHandler<Config extends object = ConfigShape> = {
  handler(event: PluginEvent, ctx: PluginContext<Config>): unknown;
}["handler"];

export interface WebhookRequest {
  method: string;
  /** As the vendor sees it: built on the hub's public URL, with the query. */
  url: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  /** The body as it came, as UTF-8 text. Verify signatures over this. */
  rawBody: string;
}

export interface WebhookResponse {
  /** @default 200 */
  status?: number;
  headers?: Record<string, string>;
  /** Text is sent as it is, anything else as JSON. */
  body?: unknown;
  /**
   * What was accepted. Each item reaches `channel.handleIncomingEvent` later, durably and once per item `id`.
   * @default []
   */
  accept?: unknown[];
}

export type WebhookHandler<Config extends object = ConfigShape> = (
  request: WebhookRequest,
  ctx: PluginContext<Config>,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return gives void
) => Promise<WebhookResponse | void> | WebhookResponse | void;

export interface HealthReport {
  status: "healthy" | "degraded" | "unhealthy";
  /** One sentence for the organisation's admin. */
  message?: string;
  details?: Record<string, unknown>;
}
