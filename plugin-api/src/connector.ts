/** Connectors bring data of an outside service into the organisation's unified data model. */
import type { ConfigShape, PluginContext } from "./context.ts";

/**
 * Made Open's Connector. Its `id`, `name` and `version` live in `plugin.json`; every method gets the context of its own
 * call as the last argument.
 */
export interface Connector<Config extends object = ConfigShape> {
  readonly id?: string;
  readonly name?: string;
  readonly version?: string;
  /** Called once before the first other call. */
  init?(ctx: PluginContext<Config>): Promise<void>;
  /**
   * Yields what changed since `options.since`, oldest first where the service can. May return `{ cursor }` or `{ cursors }` (by
   * item type): where the next sync goes on, for services that give a cursor after the last item.
   */
  sync(
    options: SyncOptions,
    ctx: PluginContext<Config>,
  ): AsyncGenerator<RawItem, unknown, unknown> | AsyncIterable<RawItem>;
  /** Turns one raw item into entities of the unified model. */
  mapToUnifiedModel(item: RawItem, ctx: PluginContext<Config>): Entity[] | Promise<Entity[]>;
  /**
   * Asks the service to push changes to `webhookUrl`. Called after activation, again before `expiresAt` of its last answer,
   * and when the public address changes, so it renews what it made before rather than making a second one.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: an async method without a return gives Promise<void>
  registerRealtimeListener?(webhookUrl: string, ctx: PluginContext<Config>): Promise<RealtimeRegistration | void>;
  /**
   * Takes one item that the webhook handler accepted. What it answers is stored as a batch of `sync` is: entities and
   * events in one transaction. Comes again after a failure, so it must bear repetition.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: an async method without a return gives Promise<void>
  handleIncomingEvent?(payload: unknown, ctx: PluginContext<Config>): Promise<IncomingChanges | void>;
  /** Does something on the service, for example `createEvent`. */
  executeAction?(action: ConnectorAction, ctx: PluginContext<Config>): Promise<ActionResult>;
  stop?(ctx: PluginContext<Config>): Promise<void>;
}

export interface SyncOptions {
  /** RFC 3339 UTC, inclusive: everything asked for up to then is stored. Absent for a first, full sync. */
  since?: string;
  /** The `cursor` of the last item that was stored; with one entry in `types`, of the last item of that type. */
  cursor?: unknown;
  /**
   * The same by item type. A type whose items have no cursor of their own has `{ value, id }` here: its latest `updatedAt`, and
   * the id of that item.
   */
  cursors?: Record<string, unknown>;
  /** Everything again, whatever was stored before. */
  full?: boolean;
  /** Only these kinds of item; absent: all. */
  types?: string[];
  /** About how many items one call should yield. */
  limit?: number;
}

export interface RealtimeRegistration {
  /** RFC 3339: when the service stops to push. Absent: never. */
  expiresAt?: string;
}

/** What a pushed item means for the data model. */
export interface IncomingChanges {
  /** Mapped by `mapToUnifiedModel` and stored as those of a sync. */
  items?: RawItem[];
  /** Stored as they are. Each needs `data:write:<type>`, and an `externalId` or an `id`. */
  entities?: Entity[];
  /**
   * Published in the same transaction; a `ref(…)` in `data` becomes the id of its row, which may be one of `entities`. Of rows of
   * other sources only with `data:read:<type>`. Each needs `event:publish:<domain>.*`; the same `id` is accepted once. */
  events?: { type: string; data?: unknown; subject?: string; id?: string }[];
  /** The push says only that something changed: an incremental sync is to run, of these types or of all. */
  sync?: boolean | { types?: string[]; full?: boolean };
}

export interface RawItem {
  /** The service's id: the same item always has the same one. */
  id: string;
  /** The connector's own name for the kind, for example `contact`. */
  type: string;
  data: unknown;
  /** RFC 3339. */
  updatedAt?: string;
  /** Where the next sync goes on once this item is stored. Any JSON value. */
  cursor?: unknown;
  /** The item no longer exists at the service. */
  deleted?: boolean;
  /** How many items of the type the service says there are, where it does: for progress. */
  total?: number;
}

export interface Entity {
  /** Kind in the unified model, for example `contacts`; `Contact` means the same. */
  type: string;
  /** Set only where the id in the unified model is known. */
  id?: string;
  /** Where the entity comes from; with `externalId` it finds the row again. @default the plugin's id */
  source?: string;
  /** The entity's id at the service. @default the item's id */
  externalId?: string;
  data: Record<string, unknown>;
  deleted?: boolean;
}

export interface ConnectorAction {
  /** Stable over retries: pass it to the service as its idempotency key where it has one. */
  id?: string;
  /** For example `createEvent`. */
  type: string;
  parameters: Record<string, unknown>;
}

export interface ActionResult {
  success: boolean;
  data?: unknown;
  error?: string;
}
