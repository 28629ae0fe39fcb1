/** What the tests of channels share: a bus with nodes that carry messages to a scripted plugin instead of one in a sandbox. */
import { sql } from "kysely";
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import { type BusDriver, type BusFixture, openBus, until } from "../bus/bus-fixture.ts";
import { createEntities, type Entities } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { InvokeOutcome, InvokeRequest } from "../invocation/invoker.ts";
import { createSubscriptions } from "../subscriptions/subscriptions.ts";
import { type Channels, createChannels } from "./channels.ts";
import type { SendBody } from "./send-request.ts";

/** One call of `sendMessage` as the plugin saw it. */
export interface Call {
  organization: string;
  plugin: string;
  method: string;
  message: { id: string; to: string; body: string; [field: string]: unknown };
  channel: string | undefined;
  signal: AbortSignal | undefined;
}

/** What the plugin does: its result, or an error made by `fails` or `refuses`. */
export type Script = (call: Call) => unknown;

export interface TestChannel {
  id: string;
  types?: string[];
  ratePerSecond?: number;
  idempotent?: boolean;
  status?: Installation["status"];
  config?: Record<string, unknown>;
}

/** A failure of the plugin, after `requests` requests to the service. */
export class PluginFailure extends Error {
  readonly error: BackplaneError;
  readonly requests: number;
  constructor(error: BackplaneError, requests: number) {
    super(error.message);
    this.error = error;
    this.requests = requests;
  }
}

/** The service answered with this HTTP status. */
export const answers = (status: number, retryAfter?: number): PluginFailure =>
  new PluginFailure(
    new BackplaneError("plugin_error", {
      plugin: "p",
      reason: `The server answered ${status}`,
      guest: { name: "HttpError", status, ...(retryAfter === undefined ? {} : { retryAfter }) },
    }),
    1,
  );

export const fails = (code: ErrorCode, requests: number, guestCode?: string): PluginFailure =>
  new PluginFailure(
    new BackplaneError(code, {
      plugin: "p",
      reason: "it went wrong",
      guest: { name: "Error", ...(guestCode === undefined ? {} : { code: guestCode }) },
    }),
    requests,
  );

export interface ChannelsFixture extends AsyncDisposable {
  bus: BusFixture;
  entities: Entities;
  channels: Channels;
  calls: Call[];
  /** Bodies as they were sent, in order. */
  sent(): string[];
  script: Script;
  /** Begins to carry; what is sent before only waits. One more node each time. */
  start(): Promise<{ stop(): Promise<void> }>;
  send(body: Partial<SendBody>, organization?: string): Promise<string>;
  get(id: string, organization?: string): Promise<MessageView>;
  /** Waits until the message (or its last attempt) is in this state. */
  reaches(id: string, state: string, organization?: string): Promise<MessageView>;
  install(channel: TestChannel, organization?: string): void;
  /** An event of a plugin. */
  emit(plugin: string, type: string, data: unknown, options?: { organization?: string; id?: string }): Promise<string>;
  /** All events of a type, oldest first. */
  events(type: string, organization?: string): Promise<{ id: string; data: Record<string, unknown>; source: string }[]>;
  /** Waits until nothing is pending but what is due later than `withinMs`. */
  settled(withinMs?: number): Promise<void>;
}

export interface AttemptView {
  id: string;
  number: number;
  plugin: string | null;
  channel: string;
  to: string;
  state: string;
  status: string;
  tries: number;
  externalId: string | null;
  providerStatus: string | null;
  errorCode: string | null;
  error: string | null;
  sentAt: string | null;
  readAt: string | null;
}

export interface MessageView {
  id: string;
  status: string;
  conversationId?: string;
  contactId?: string;
  errorCode?: string | null;
  attempts: AttemptView[];
  [field: string]: unknown;
}

export async function openChannels(
  driver: BusDriver = { name: "pglite", store: "pglite" },
  options: { maxTries?: number; maxAgeMs?: number } = {},
): Promise<ChannelsFixture> {
  const bus = await openBus(driver);
  const entities = createEntities({ store: bus.store, eventLog: bus.log });
  const installed = new Map<string, Installation>();
  const calls: Call[] = [];
  let n = 0;
  await bus.store.db
    .insertInto("organizations")
    .values(["a", "b"].map((id) => ({ id, name: id })))
    .execute();

  const run = async (request: InvokeRequest): Promise<InvokeOutcome> => {
    const call: Call = {
      organization: request.organization,
      plugin: request.plugin,
      method: request.name,
      message: request.args[0] as Call["message"],
      channel: request.channel,
      signal: request.signal,
    };
    calls.push(call);
    const record = { abilityCalls: { "http.fetch": 1 }, result: null } as unknown as InvokeOutcome["record"];
    try {
      record.result = await fixture.script(call);
      return { record };
    } catch (error) {
      if (!(error instanceof PluginFailure)) throw error;
      record.abilityCalls = { "http.fetch": error.requests };
      return { record, error: error.error };
    }
  };

  const installations = {
    find: async (organization: string, plugin: string) => installed.get(`${organization} ${plugin}`),
    get: async (organization: string, plugin: string) => {
      const found = installed.get(`${organization} ${plugin}`);
      if (!found) throw new BackplaneError("not_found", { thing: `plugin '${plugin}'` });
      return found;
    },
    list: async (organization: string) => [...installed.values()].filter((one) => one.organization === organization),
  } as unknown as Installations;

  const compose = (deliveries: Parameters<typeof createSubscriptions>[0]["deliveries"]): Channels => {
    const subscriptions = createSubscriptions({
      store: bus.store,
      consumers: bus.consumers,
      deliveries,
      invoker: { run },
    });
    const channels = createChannels({
      store: bus.store,
      deliveries,
      invoker: { run },
      installations,
      entities,
      eventLog: bus.log,
      subscriptions,
      publicUrl: () => "https://hub.example",
      backoff: { baseMs: 20, capMs: 40 },
      ...options,
    });
    starts.push(() => subscriptions.start());
    return channels;
  };
  const starts: (() => Promise<void>)[] = [];
  // A node that never starts: it queues and reads.
  const { createDeliveries } = await import("../bus/deliveries.ts");
  const channels = compose(createDeliveries({ store: bus.store, nodeId: "reader" }));
  await starts[0]!();

  const get: ChannelsFixture["get"] = async (id, organization = "a") =>
    (await channels.get(asOrganizationId(organization), id)) as MessageView;

  const fixture: ChannelsFixture = {
    bus,
    entities,
    channels,
    calls,
    sent: () => calls.filter(({ method }) => method === "sendMessage").map(({ message }) => message.body),
    script: () => ({ externalId: `ext-${++n}`, status: "queued" }),
    start: () => bus.node({}, (deliveries) => void compose(deliveries)),
    send: async (body, organization = "a") =>
      (
        await channels.send(
          { organization: asOrganizationId(organization), actor: "test" },
          { channel: "sms", to: "+15550001", body: "hello", ...body },
        )
      ).id,
    get,
    async reaches(id, state, organization = "a") {
      let seen: MessageView | undefined;
      await until(
        async () => {
          seen = await get(id, organization);
          return seen.attempts.at(-1)?.state === state;
        },
        `message in state ${state}, is ${JSON.stringify(seen?.attempts)}`,
      );
      return seen!;
    },
    install(
      { id, types = ["sms"], ratePerSecond = 1000, idempotent = false, status = "active", config = {} },
      organization = "a",
    ) {
      installed.set(`${organization} ${id}`, {
        organization: asOrganizationId(organization),
        plugin: asPluginId(id),
        id: `${organization}-${id}`,
        name: id,
        status,
        statusReason: null,
        health: "unknown",
        grants: ["network:inbound"],
        config,
        installedAt: new Date(),
        manifest: {
          id,
          contributes: { channel: { types, ratePerSecond, idempotent }, webhook: {} },
        } as unknown as Manifest,
      } as unknown as Installation);
    },
    emit: (plugin, type, data, { organization = "a", id } = {}) =>
      bus.store.transaction(
        async (tx) =>
          (
            await bus.log.publish(tx, {
              organization,
              type,
              data,
              source: `/plugins/${plugin}`,
              ...(id === undefined ? {} : { id }),
            })
          ).id,
      ),
    async events(type, organization = "a") {
      const { events } = await bus.log.query({ organization, type, limit: 200 });
      return events.map(({ event }) => ({
        id: event.id,
        data: event.data as Record<string, unknown>,
        source: event.source,
      }));
    },
    async settled(withinMs = 500) {
      await until(async () => {
        const { rows } = await sql<{ n: number }>`
          select (select count(*) from deliveries where state = 'pending' and due < now() + ${withinMs}::float8 * interval '1 millisecond')::int
            + (select count(*) from event_arrivals)::int as n`.execute(bus.store.db);
        return rows[0]!.n === 0;
      }, "nothing left to do");
    },
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
  return fixture;
}
