/**
 * One installation's secrets, opened for use: the guest's config with handles, filling of requests and of keys, and
 * redaction. The abilities make one per active installation and keep it as long as config and manifest stay the same.
 */
import { matchesHost } from "../base/host-pattern.ts";
import { type BackplaneError, toBackplaneError } from "../errors/error.ts";
import { bindingOf, type ConfigObject, type ConfigScope, sealedIn } from "./config.ts";
import { type FillableRequest, fillRequest, type KnownSecret, misused } from "./fill.ts";
import { handlesFor, replaceHandles } from "./handle.ts";
import { createRedactor, type Redactor } from "./redactor.ts";
import { findSecrets, replaceAt, type SecretPlace } from "./secret-fields.ts";

export interface InstallationSecrets {
  /** For the guest: sealed secrets are handles; exposed ones, as agreed to, are plain. */
  readonly guestConfig: ConfigObject;
  /** Fields whose plain value the guest has. */
  readonly exposed: readonly string[];
  /** Fields with a sealed value. */
  readonly fields: readonly string[];
  /** Fills a request for its host; see fill.ts. Errors: `secret_misused`, `secret_unreadable`. */
  fill<T extends FillableRequest>(request: T): { request: T; used: string[] };
  /** Fills a key for HMAC or another keyed operation of the hub, whose outcome does not tell the key. Same errors. */
  fillKey(text: string): { key: Uint8Array; used: string[] };
  /**
   * For answers: puts handles in place of every sealed value, so that a server that echoes a secret, now or in a later answer,
   * does not hand it out.
   */
  answerRedactor(): Redactor;
  /** For logs, errors and records: every secret of the installation. */
  readonly logRedactor: Redactor;
}

interface OpenSecret extends KnownSecret {
  handles: string[];
  path: SecretPlace["path"];
  exposed: boolean;
  failure: BackplaneError | undefined;
}

/** Never throws for one unreadable secret: its use does, so that the rest of the plugin goes on. */
export async function openSecrets(scope: ConfigScope, stored: ConfigObject): Promise<InstallationSecrets> {
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
  let answers: Redactor | undefined;

  const lookUp = (handle: string): OpenSecret => {
    const secret = byHandle.get(handle);
    if (secret === undefined)
      throw misused(handle.split(".")[2] ?? "?", "this handle is from another plugin or an earlier configuration");
    if (secret.failure) throw secret.failure;
    return secret;
  };

  return {
    guestConfig: replaceAt(stored, changes),
    exposed: exposed.map(({ field }) => field),
    fields: secrets.map(({ field }) => field),
    fill: (request) => fillRequest(request, lookUp),
    fillKey(text) {
      const used = new Set<string>();
      const key = replaceHandles(text, (handle) => {
        const secret = lookUp(handle);
        used.add(secret.field);
        return secret.value;
      });
      return { key: new TextEncoder().encode(key), used: [...used] };
    },
    answerRedactor() {
      answers ??= createRedactor(hidden, { replacement: (field) => handles.get(field) ?? "" });
      return answers;
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
    const agreed = place.hosts.filter((wanted) => hosts.some((given) => given === wanted || coveredBy(given, wanted)));
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

/** Whether pattern `wanted` allows nothing that `given` does not. */
function coveredBy(given: string, wanted: string): boolean {
  if (!wanted.startsWith("*.")) return matchesHost(given, wanted.toLowerCase());
  return given.startsWith("*.") && wanted.toLowerCase().endsWith(`.${given.slice(2).toLowerCase()}`);
}
