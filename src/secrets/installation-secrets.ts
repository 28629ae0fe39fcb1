/**
 * One installation's secrets, opened for use: the guest's config with handles, filling of requests and of keys, and
 * redaction. The abilities make one per active installation and keep it as long as config and manifest stay the same.
 */
import { matchesAnyHost, matchesHost } from "../base/host-pattern.ts";
import { type BackplaneError, toBackplaneError } from "../errors/error.ts";
import { bindingOf, type ConfigObject, type ConfigScope, sealedIn } from "./config.ts";
import { type FillableRequest, fillRequest, handlesIn, type KnownSecret, misused } from "./fill.ts";
import { handlesFor, replaceHandles } from "./handle.ts";
import { createRedactor, type Redactor } from "./redactor.ts";
import { findSecrets, replaceAt, type SecretPlace } from "./secret-fields.ts";
import type { SecretBinding } from "./vault.ts";

/** An OAuth connection as the manifest names it. */
export interface ConnectionName {
  name: string;
  /** Hosts that its access token may go to. */
  hosts: readonly string[];
}

/** The access token of a connection as it is now. */
export interface ConnectionToken {
  value: string;
  /** Hosts that whoever made the connection agreed to. */
  hosts: readonly string[];
  /** Earlier tokens, and others of the connection, that an answer could still quote. */
  others: readonly string[];
}

/** By the connection's name; those that are not connected are missing. */
export type ConnectionTokens = ReadonlyMap<string, ConnectionToken>;

export const noTokens: ConnectionTokens = new Map();

export interface InstallationSecrets {
  /** For the guest: sealed secrets and connections are handles; exposed secrets, as agreed to, are plain. */
  readonly guestConfig: ConfigObject;
  /** Fields whose plain value the guest has. */
  readonly exposed: readonly string[];
  /** Fields with a sealed value. */
  readonly fields: readonly string[];
  /** Fields whose sealed value could not be opened: no redactor knows what to look for. */
  readonly unreadable: readonly string[];
  /** Names of the connections that the manifest declares. */
  readonly connections: readonly string[];
  /** Connections that the request has handles of and whose token may go to its host: their tokens are needed to fill it. */
  connectionsIn(request: FillableRequest): string[];
  /** Fills a request for its host; see fill.ts. Errors: `secret_misused`, `secret_unreadable`. */
  fill<T extends FillableRequest>(
    request: T,
    tokens?: ConnectionTokens,
    kept?: (handle: string) => KnownSecret | undefined,
  ): { request: T; used: string[] };
  /** Fills a key for HMAC or another keyed operation of the hub, whose outcome does not tell the key. Same errors. */
  fillKey(text: string): { key: Uint8Array; used: string[] };
  /**
   * For answers: puts handles in place of every sealed value, so that a server that echoes a secret, now or in a later answer,
   * does not hand it out.
   */
  answerRedactor(tokens?: ConnectionTokens): Redactor;
  /** For logs, errors and records: every secret of the installation but those that are `unreadable`. */
  readonly logRedactor: Redactor;
}

interface OpenSecret extends KnownSecret {
  handles: string[];
  path: SecretPlace["path"];
  exposed: boolean;
  failure: BackplaneError | undefined;
}

/** What the tokens of a connection, and its handle, are bound to. No config field is spelled like it. */
export function connectionBinding(
  { organization, installation }: Pick<SecretBinding, "organization" | "installation">,
  name: string,
): SecretBinding {
  return { organization, installation, field: `~connection.${name}` };
}

/** Never throws for one unreadable secret: its use does, so that the rest of the plugin goes on. */
export async function openSecrets(
  scope: ConfigScope,
  stored: ConfigObject,
  connections: readonly ConnectionName[] = [],
): Promise<InstallationSecrets> {
  const places = findSecrets(scope.schema, stored);
  const secrets = (await Promise.all(places.map((place) => openOne(scope, place)))).filter(
    (secret) => secret !== undefined,
  );
  const byHandle = new Map(secrets.flatMap((secret) => secret.handles.map((handle) => [handle, secret] as const)));
  const exposed = secrets.filter((secret) => secret.exposed);
  const changes = secrets.map((secret) => ({
    path: secret.path,
    value: secret.exposed ? secret.value : secret.handles[0],
  }));

  const hidden = secrets.filter((secret) => !secret.exposed);
  const handles = new Map(hidden.map(({ field, handles: [first] }) => [field, first!]));
  const opened = connections.map(({ name, hosts }) => ({
    name,
    hosts,
    handles: handlesFor(scope.vault, connectionBinding(scope, name), name),
  }));
  const connectionOf = new Map(opened.flatMap((one) => one.handles.map((handle) => [handle, one] as const)));
  for (const { name, handles: own } of opened) handles.set(fieldOf(name), own[0]!);
  let answers: { redactor: Redactor; key: string } | undefined;

  const lookUp = (handle: string): OpenSecret => {
    const secret = byHandle.get(handle);
    const connection = connectionOf.get(handle);
    if (connection !== undefined)
      throw misused(connection.name, "the access token of a connection only goes into requests");
    if (secret === undefined)
      throw misused(handle.split(".")[2] ?? "?", "this handle is from another plugin or an earlier configuration");
    if (secret.failure) throw secret.failure;
    return secret;
  };
  const lookUpIn =
    (tokens: ConnectionTokens, kept: (handle: string) => KnownSecret | undefined) =>
    (handle: string): KnownSecret => {
      const connection = connectionOf.get(handle);
      if (connection === undefined) return kept(handle) ?? lookUp(handle);
      const { name } = connection;
      const token = tokens.get(name);
      const hosts = agreedHosts(connection.hosts, token?.hosts ?? []);
      return {
        field: fieldOf(name),
        connection: name,
        value: token?.value ?? "",
        hosts,
        pendingHosts: connection.hosts.filter((host) => !hosts.includes(host)),
      };
    };

  return {
    guestConfig: {
      ...replaceAt(stored, changes),
      ...Object.fromEntries(opened.map(({ name, handles: own }) => [name, own[0]!])),
    },
    exposed: exposed.map(({ field }) => field),
    fields: secrets.map(({ field }) => field),
    unreadable: secrets.filter(({ failure }) => failure !== undefined).map(({ field }) => field),
    connections: opened.map(({ name }) => name),
    connectionsIn(request) {
      if (opened.length === 0) return [];
      const found = handlesIn(request).flatMap((handle) => connectionOf.get(handle) ?? []);
      return [...new Set(found)].filter(({ hosts }) => matchesAnyHost(hosts, request.host)).map(({ name }) => name);
    },
    fill: (request, tokens = noTokens, kept = () => undefined) => fillRequest(request, lookUpIn(tokens, kept)),
    fillKey(text) {
      const used = new Set<string>();
      const key = replaceHandles(text, (handle) => {
        const secret = lookUp(handle);
        used.add(secret.field);
        return secret.value;
      });
      return { key: new TextEncoder().encode(key), used: [...used] };
    },
    answerRedactor(tokens = noTokens) {
      const values = tokenValues(tokens);
      const key = JSON.stringify(values);
      if (answers?.key !== key)
        answers = {
          key,
          redactor: createRedactor([...hidden, ...values], { replacement: (field) => handles.get(field) ?? "" }),
        };
      return answers.redactor;
    },
    logRedactor: createRedactor(secrets),
  };
}

async function openOne(scope: ConfigScope, place: SecretPlace): Promise<OpenSecret | undefined> {
  const sealed = sealedIn(place.value);
  if (sealed === undefined) return undefined;
  const binding = bindingOf(scope, place);
  const base = { field: place.field, path: place.path, handles: handlesFor(scope.vault, binding) };
  try {
    const { value, hosts, expose } = await scope.vault.open(binding, sealed);
    // Both must say it: the manifest of this version, and the one the admin agreed to when the value was entered.
    const agreed = agreedHosts(place.hosts, hosts);
    return {
      ...base,
      value,
      hosts: agreed,
      pendingHosts: place.hosts.filter((host) => !agreed.includes(host)),
      exposed: expose && place.expose,
      failure: undefined,
    };
  } catch (error) {
    return { ...base, value: "", hosts: [], pendingHosts: [], exposed: false, failure: toBackplaneError(error) };
  }
}

/** As the keys of replacements: apart from every config field. */
const fieldOf = (connection: string): string => `~connection.${connection}`;

/** Everything of connections that is to be kept from guests, logs and errors, for a redactor. */
export function tokenValues(tokens: ConnectionTokens): { field: string; value: string }[] {
  return [...tokens].flatMap(([name, { value, others }]) =>
    [value, ...others].map((text) => ({ field: fieldOf(name), value: text })),
  );
}

/** What the manifest asks for now and somebody has agreed to. */
export function agreedHosts(wanted: readonly string[], given: readonly string[]): string[] {
  return wanted.filter((host) => given.some((one) => one === host || coveredBy(one, host)));
}

/** Whether pattern `wanted` allows nothing that `given` does not. */
function coveredBy(given: string, wanted: string): boolean {
  if (!wanted.startsWith("*.")) return matchesHost(given, wanted.toLowerCase());
  return given.startsWith("*.") && wanted.toLowerCase().endsWith(`.${given.slice(2).toLowerCase()}`);
}
