/**
 * Builds `ctx` for one call from the abilities the hub named. An ability that was not named is absent, and so is a
 * namespace without abilities. Nothing here decides anything: the hub checks every call again.
 */
import type { GuestEnvironment } from "../../../runtime.ts";
import { withAbilityErrors } from "../web/ability-error.ts";
import type { GuestHost } from "../web/host-port.ts";
import { freeze } from "../web/primordials.ts";
import { createCryptoFace } from "./crypto-face.ts";
import { deepFreeze } from "./deep-freeze.ts";
import { createHttpFace } from "./http-face.ts";
import { createPermissionsFace } from "./permissions-face.ts";
import { createStorageFace } from "./storage-face.ts";

export interface GuestExecution {
  id: string;
  /** RFC 3339; plugins see a `Date`. */
  deadline: string;
  sessionId?: string;
  channel?: string;
  userId?: string;
  /** Read only when a plugin asks for it: the pump makes it late. */
  readonly signal: unknown;
}

/** How faces reach the hub. */
export type Call = (ability: string, args: unknown[]) => Promise<unknown>;

export function buildContext(environment: GuestEnvironment, host: GuestHost, execution: GuestExecution): object {
  const { send } = host;
  const raw = host.call;
  const call: Call = (ability, args) => withAbilityErrors(raw(ability, args));
  const { config, given } = derive(environment);

  const context: Record<string, unknown> = {
    config,
    organization: environment.organization,
    logger: createLogger(send),
    permissions: createPermissionsFace(environment.permissions),
    execution: createExecution(execution, send),
  };
  if (given["events.emit"]) {
    context["emitEvent"] = (type: string, data?: unknown, options?: object) =>
      call("events.emit", options === undefined ? [type, data] : [type, data, options]);
  }
  const search =
    (ability: string) =>
    (entity: string, filter: object = {}, options?: object) =>
      call(ability, options === undefined ? [entity, filter] : [entity, filter, options]);
  add(context, "data", {
    query: given["data.query"] && search("data.query"),
    page: given["data.page"] && search("data.page"),
    count: given["data.count"] && ((entity: string, filter: object = {}) => call("data.count", [entity, filter])),
    getById: given["data.getById"] && ((entity: string, id: string) => call("data.getById", [entity, id])),
    upsert: given["data.upsert"] && ((entity: string, items: unknown) => call("data.upsert", [entity, items])),
    delete: given["data.delete"] && ((entity: string, ids: unknown) => call("data.delete", [entity, ids])),
  });
  if (given["http.fetch"]) context["http"] = createHttpFace(call, send);
  add(context, "plugins", {
    call:
      given["plugins.call"] &&
      ((plugin: string, name: string, parameters: object = {}) => call("plugins.call", [plugin, name, parameters])),
  });
  add(context, "secrets", {
    list: given["secrets.list"] && (() => call("secrets.list", [])),
    forget: given["secrets.forget"] && ((name: string) => call("secrets.forget", [name])),
  });
  add(context, "storage", createStorageFace(given, call));
  context["crypto"] = createCryptoFace(given, call);
  return freeze(context);
}

/** Adds the functions that are there as a frozen namespace; none, no namespace. */
function add(context: Record<string, unknown>, name: string, functions: Record<string, unknown>): void {
  const namespace: Record<string, unknown> = {};
  let any = false;
  for (const key in functions) {
    if (!functions[key]) continue;
    namespace[key] = functions[key];
    any = true;
  }
  if (any) context[name] = freeze(namespace);
}

function createLogger(send: GuestHost["send"]): object {
  const level = (name: string) => (message: string, data?: unknown) =>
    send("log.write", data === undefined ? [name, `${message}`] : [name, `${message}`, data]);
  return freeze({ debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") });
}

function createExecution(execution: GuestExecution, send: GuestHost["send"]): object {
  const { id, deadline, sessionId, channel, userId } = execution;
  const face: Record<string, unknown> = {
    id,
    get deadline() {
      return new Date(deadline);
    },
    get signal() {
      return execution.signal;
    },
    progress: (value: unknown) => send("progress.report", [value]),
  };
  if (sessionId !== undefined) face["sessionId"] = sessionId;
  if (channel !== undefined) face["channel"] = channel;
  if (userId !== undefined) face["userId"] = userId;
  return freeze(face);
}

interface Derived {
  config: unknown;
  given: Record<string, true>;
}

// One isolate has one environment: what is worked out from it is kept.
let known: GuestEnvironment | undefined;
let derived: Derived | undefined;

function derive(environment: GuestEnvironment): Derived {
  if (derived !== undefined && known === environment) return derived;
  const given = { __proto__: null } as unknown as Record<string, true>;
  const { abilities } = environment;
  for (let i = 0; i < abilities.length; i++) given[abilities[i] as string] = true;
  known = environment;
  derived = { config: deepFreeze(environment.config ?? {}), given };
  return derived;
}
