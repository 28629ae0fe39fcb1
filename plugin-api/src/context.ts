/**
 * `ctx`: everything a plugin can do. An ability whose permission was not granted is absent, and so is a namespace left
 * without abilities. Made Open's PluginContext is a part of it, by its names.
 *
 * The optional namespaces are typed as present, because a manifest that asks for their permissions as required ones cannot
 * be activated without them. Check `ctx.permissions.has(…)` before use of what was asked for under `optionalPermissions`.
 */
import type { EntityOf } from "./model/entity-types.ts";

/** What `ctx.config` holds when a plugin does not name its shape. */
export type ConfigShape = { readonly [field: string]: unknown };

declare const secretHandle: unique symbol;

/**
 * A sealed secret: an opaque text in the place of the value. Put it into a header, query or body of a request, or into a
 * `ctx.crypto` call; the hub fills the value in, toward the hosts that the manifest binds the secret to and nowhere else.
 */
export type SecretHandle = string & { readonly [secretHandle]: true };

/** Binary data. What the platform gives back is always a `Uint8Array`. */
export type Bytes = ArrayBuffer | ArrayBufferView;

export interface PluginContext<Config extends object = ConfigShape> {
  /** The installation's configuration, deeply frozen. Sealed secrets appear as {@link SecretHandle}. */
  readonly config: Readonly<Config>;
  /** Id of the organisation this call serves. */
  readonly organization: string;
  readonly logger: Logger;
  /**
   * Publishes an event; resolves when it is stored durably. Needs `event:publish:<domain>.*`.
   * Errors by code: `permission_denied`, `ability_input` (wrong arguments), `invalid_input` (a type, subject or data that cannot
   * be stored), `payload_too_large`, `call_depth_exceeded` (events cause events without end).
   */
  emitEvent(type: string, data?: unknown, options?: EmitOptions): Promise<{ id: string }>;
  readonly data: DataAbilities;
  readonly http: HttpAbilities;
  readonly plugins: PluginCallAbilities;
  readonly permissions: PermissionAbilities;
  readonly execution: ExecutionInfo;
  readonly crypto: CryptoAbilities;
  readonly storage: StorageAbilities;
  readonly secrets: SecretsAbilities;
}

/** Lines of the plugin's log. `data` is stored as JSON beside the message. Secrets are blotted out. */
export interface Logger {
  debug(message: string, data?: unknown): void;
  info(message: string, data?: unknown): void;
  warn(message: string, data?: unknown): void;
  error(message: string, data?: unknown): void;
}

export interface EmitOptions {
  /** What the event is about; deliveries with the same subject keep their order. */
  subject?: string;
  /** The same id a second time is accepted once. @default a fresh id */
  id?: string;
}

export interface QueryOptions {
  /** @default 50, at most 200 */
  limit?: number;
  /** Rows to leave out from the start. @default 0 */
  offset?: number;
  /** `nextCursor` of an earlier page of the same order. */
  cursor?: string | null;
  /** Field to sort by, with dots for inner ones; `-field` sorts downwards. @default "-createdAt" */
  orderBy?: string;
  /** Rows that were deleted too. @default false */
  includeDeleted?: boolean;
}

export interface PageOptions extends QueryOptions {
  /** Whether to count all rows that match. @default false */
  count?: boolean;
}

export interface Page<T> {
  items: T[];
  /** For the next page; null at the end. */
  nextCursor: string | null;
  /** How many rows match in all: at most 10,000. */
  count?: number;
  /** There are as many as `count` or more. */
  countCapped?: boolean;
}

export interface FieldOperators {
  $eq?: unknown;
  $ne?: unknown;
  $gt?: string | number;
  $gte?: string | number;
  $lt?: string | number;
  $lte?: string | number;
  $in?: readonly (string | number | boolean | null)[];
  $exists?: boolean;
  /** A list has it; a text has it within, whatever its case. */
  $contains?: unknown;
  $startsWith?: string;
}

/**
 * Fields with the value they must equal (objects and lists as subsets) or with operators. Inner fields with dots
 * (`"address.city"`). At most 50 clauses.
 * @example
 * { kind: "follow_up", status: "open", dueAt: { $lt: "2026-02-01" }, $or: [{ priority: 1 }, { tags: "vip" }] }
 */
export interface EntityFilter {
  $and?: readonly EntityFilter[];
  $or?: readonly EntityFilter[];
  $not?: EntityFilter;
  /** Words that words of the row begin with. */
  $text?: string;
  [field: string]: unknown;
}

/** The organisation's unified data model. Rows of the model's own types are typed by their schema. */
export interface DataAbilities {
  /** Rows that match `filter`. Needs `data:read:<entity>`. */
  query<T = never, Type extends string = string>(
    entity: Type,
    filter?: EntityFilter,
    options?: QueryOptions,
  ): Promise<RowOf<T, Type>[]>;
  /** As `query`, with a cursor to what comes next. Rows that come or go meanwhile shift nothing. Needs `data:read:<entity>`. */
  page<T = never, Type extends string = string>(
    entity: Type,
    filter?: EntityFilter,
    options?: PageOptions,
  ): Promise<Page<RowOf<T, Type>>>;
  /** How many rows match; 100,000 stands for as many or more. Needs `data:read:<entity>`. */
  count(entity: string, filter?: EntityFilter): Promise<number>;
  /** Needs `data:read:<entity>`. */
  getById<T = never, Type extends string = string>(entity: Type, id: string): Promise<RowOf<T, Type> | null>;
  /**
   * Creates the row, or updates the one with the same `id` (or the same `source` and `externalId`). Needs `data:write:<entity>`.
   * `source` is the plugin's id when it is left out; others must begin with it and a colon (`acme.crm:import`).
   * Publishes `data.<Entity>Created` or `data.<Entity>Updated`. At most 500 items.
   */
  upsert<T = never, Type extends string = string>(entity: Type, items: readonly object[]): Promise<RowOf<T, Type>[]>;
  upsert<T = never, Type extends string = string>(entity: Type, item: object): Promise<RowOf<T, Type>>;
  /**
   * Marks rows as deleted: they are hidden until they are written again. Resolves with how many it was. Needs `data:write:<entity>`.
   * Publishes `data.<Entity>Deleted`. At most 500 ids.
   */
  delete(entity: string, ids: string | readonly string[]): Promise<number>;
}

/** What the caller says a row is, else what the model says of its type. */
export type RowOf<T, Type extends string> = [T] extends [never] ? EntityOf<Type> : T;

/**
 * Requests to the hosts of `network:outbound:<domain>`, over HTTPS. The hub makes them: it checks host, address and every
 * redirect, and puts secrets in.
 * Errors by code: `egress_denied`, `egress_failed`, `egress_timeout`, `egress_too_large`, `secret_misused`.
 */
export interface HttpAbilities {
  /** The parsed body: JSON when the answer says so, else text. A non-2xx answer throws an {@link HttpError}. */
  get<T = unknown>(url: string | URL, headers?: Record<string, string>, options?: SealAnswer): Promise<T>;
  /**
   * As `get`. `body` is sent as JSON, except text, bytes and `Blob` (sent as they are), `URLSearchParams` and `FormData` (sent as a form).
   */
  post<T = unknown>(
    url: string | URL,
    body?: unknown,
    headers?: Record<string, string>,
    options?: SealAnswer,
  ): Promise<T>;
  /** As the web's `fetch`: any status resolves. Bodies are whole, not streams. */
  fetch(input: string | URL | Request, init?: RequestInit & SealAnswer): Promise<Response>;
}

export interface SealAnswer {
  /**
   * Fields of a JSON answer that the hub keeps sealed under a name: `{ access_token: "item-1" }`, with dots for inner ones. What
   * the plugin gets has a {@link SecretHandle} in their place, which later requests to the same host may hold. At most 8
   * fields, each a text of 8 to 8,192 bytes; names are 1 to 64 letters, digits, `_` and `-`. Needs `secrets:keep`. A non-2xx
   * answer is given as it is. Numbers past 2^53 in a sealed answer are rounded.
   * Errors by code: `secret_misused` (a 2xx answer without the field), `limit_exceeded` (100 secrets), `permission_denied`.
   */
  seal?: Readonly<Record<string, string>>;
}

/** Secrets that the hub keeps of answers; see {@link SealAnswer}. Needs `secrets:keep`. Values are never given out. */
export interface SecretsAbilities {
  list(): Promise<KeptSecret[]>;
  /** False when there is none of that name. */
  forget(name: string): Promise<boolean>;
}

export interface KeptSecret {
  name: string;
  /** The one host it may go to: where it came from. */
  host: string;
  /** RFC 3339. */
  createdAt: string;
}

export interface PluginCallAbilities {
  /**
   * Calls a function of another plugin of the organisation. Needs `plugin:call:<pluginId>`. The callee works under its own
   * grants, within what is left of this call's time.
   * Errors by code: `function_not_found`, `invalid_parameters`, `plugin_not_active`, `call_cycle`, `call_depth_exceeded`, `plugin_error`.
   */
  call<T = unknown>(pluginId: string, functionName: string, parameters?: object): Promise<T>;
}

export interface PermissionAbilities {
  /** Whether a permission is granted, for example `event:publish:order.created`. Advice for a plugin's own branches: the hub checks anyway. */
  has(permission: string): boolean;
}

/** The call under way. */
export interface ExecutionInfo {
  readonly id: string;
  /** When the call is stopped. */
  readonly deadline: Date;
  /** Aborted when the call is cancelled or its time is over. */
  readonly signal: AbortSignal;
  /** Publishes how far the call is; only the latest value is kept. */
  progress(value: unknown): void;
  readonly sessionId?: string;
  /** The channel the call came by, for example `sms`. */
  readonly channel?: string;
  readonly userId?: string;
}

export interface HmacOptions {
  /** @default "SHA-256" */
  hash?: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512";
  /** May be a {@link SecretHandle}. */
  key: string | Bytes;
  data: string | Bytes;
}

/** Cryptography that works with sealed secrets, beside the web's global `crypto`. */
export interface CryptoAbilities {
  digest(algorithm: string, data: string | Bytes): Promise<Uint8Array>;
  hmac(options: HmacOptions & { encoding: "hex" | "base64" | "base64url" }): Promise<string>;
  hmac(options: HmacOptions & { encoding?: "bytes" }): Promise<Uint8Array>;
  /** Compares in a time that does not tell where they differ. Either side may be a {@link SecretHandle}. */
  timingSafeEqual(a: string | Bytes, b: string | Bytes): Promise<boolean>;
  randomUUID(): string;
  /** The web's `crypto.subtle`. */
  readonly subtle: typeof crypto.subtle;
}

export interface StoredFileInfo {
  path: string;
  contentType: string;
  /** Bytes. */
  size: number;
  updatedAt: string;
}

/** Files of this installation. Needs `storage:read` and `storage:write`. Error by code: `storage_quota`. */
export interface StorageAbilities {
  get(path: string): Promise<Uint8Array | null>;
  put(path: string, content: string | Bytes | Blob, options?: { contentType?: string }): Promise<void>;
  /** True when there was such a file. */
  delete(path: string): Promise<boolean>;
  list(options?: { prefix?: string; limit?: number; cursor?: string }): Promise<{
    files: StoredFileInfo[];
    nextCursor: string | null;
  }>;
}
