/**
 * Secrets within a plugin's config. At rest each is a record `{"$sealed": JWE}`; to people it is a mask; a mask sent back
 * means "keep what is stored". The guest's view (handles) is in installation-secrets.ts.
 */
import { isObject } from "../base/json.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { findSecrets, listSecretFields, replaceAt, type SecretPlace } from "./secret-fields.ts";
import type { SealedBy, SecretConsent, Vault } from "./vault.ts";

export const MASK = "********";
const MAX_SECRET_BYTES = 65_536;

export type ConfigObject = Record<string, unknown>;

export interface ConfigScope {
  vault: Vault;
  /** The manifest's configSchema. */
  schema: unknown;
  organization: string;
  installation: string;
  /** For error sentences. @default "?" */
  plugin?: string;
  /** Hosts of token endpoints by the setting that is their client's secret, as the manifest names them. */
  endpoints?: ReadonlyMap<string, readonly string[]>;
}

export interface SealedConfig {
  /** For the store. */
  sealed: ConfigObject;
  /** The same config with every secret in plain: validate this against the schema, then forget it. */
  plain: ConfigObject;
}

/**
 * Seals what a person sent. Masked fields keep their stored value with the hosts it was bound to: whoever saves another
 * setting has not agreed to what a newer version wants to do with a secret that they did not touch. Errors: `invalid_config` (secret that is no string, mask without a stored value), `secret_unreadable`.
 */
export async function sealConfig(
  scope: ConfigScope,
  config: ConfigObject,
  previous: ConfigObject = {},
): Promise<SealedConfig> {
  const stored = new Map(findSecrets(scope.schema, previous).map((place) => [place.field, place.value]));
  const faults: FieldError[] = [];
  const sealed: { path: SecretPlace["path"]; value: unknown }[] = [];
  const plain: typeof sealed = [];
  for (const place of findSecrets(scope.schema, config)) {
    const value = await wanted(scope, place, stored.get(place.field));
    if (typeof value !== "string") {
      faults.push(value);
      continue;
    }
    plain.push({ path: place.path, value });
    const kept = place.value === MASK ? sealedIn(stored.get(place.field)) : undefined;
    if (kept !== undefined) {
      sealed.push({ path: place.path, value: { $sealed: kept } });
      continue;
    }
    // An empty field is not a secret, and the guest should see that it is empty.
    sealed.push({
      path: place.path,
      value:
        value === ""
          ? ""
          : { $sealed: await scope.vault.seal(bindingOf(scope, place), value, consentTo(scope, place)) },
    });
  }
  if (faults.length > 0)
    throw new BackplaneError("invalid_config", { plugin: scope.plugin ?? "?" }, { errors: faults });
  return { sealed: replaceAt(config, sealed), plain: replaceAt(config, plain) };
}

async function wanted(scope: ConfigScope, place: SecretPlace, stored: unknown): Promise<string | FieldError> {
  const path = `$.${place.field}`;
  if (place.value === MASK) {
    if (typeof stored === "string") return stored;
    const sealed = sealedIn(stored);
    if (sealed === undefined)
      return { path, message: "was sent masked, but no value is stored; send the value itself" };
    return (await scope.vault.open(bindingOf(scope, place), sealed)).value;
  }
  if (typeof place.value !== "string") return { path, message: "is a secret and must be a string" };
  if (Buffer.byteLength(place.value) > MAX_SECRET_BYTES)
    return { path, message: `is longer than ${MAX_SECRET_BYTES} bytes` };
  return place.value;
}

/** What people may see: every secret that is set becomes the mask. */
export function maskConfig(schema: unknown, stored: ConfigObject): ConfigObject {
  const changes = findSecrets(schema, stored)
    .filter(({ value }) => value !== "")
    .map(({ path }) => ({ path, value: MASK }));
  return maskStray(replaceAt(stored, changes)) as ConfigObject;
}

/** Sealed records that the schema no longer calls secret (after an upgrade) stay hidden too. */
function maskStray(value: unknown): unknown {
  if (sealedIn(value) !== undefined) return MASK;
  if (Array.isArray(value)) return value.map(maskStray);
  if (isObject(value))
    return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, maskStray(child)]));
  return value;
}

/** What somebody agrees to who enters a value, or approves a version, now. */
function consentTo({ endpoints }: ConfigScope, { hosts, expose, field }: SecretPlace): SecretConsent {
  return { hosts, expose, ...(endpoints === undefined ? {} : { endpoints: endpoints.get(field) ?? [] }) };
}

/**
 * A stored config as another version's schema needs it: newly secret values are sealed, sealed ones that are secret no
 * longer are dropped (a version must not unseal by redeclaring), the rest stays, with the hosts agreed to before. `former`:
 * the token endpoints of the version before, to which a value is bound that was sealed without any.
 */
export async function migrateConfig(
  scope: ConfigScope,
  stored: ConfigObject,
  former: NonNullable<ConfigScope["endpoints"]> = new Map(),
): Promise<ConfigObject> {
  const places = findSecrets(scope.schema, stored);
  const changes: { path: SecretPlace["path"]; value: unknown }[] = [];
  for (const place of places) {
    if (typeof place.value === "string" && place.value !== "") {
      changes.push({
        path: place.path,
        value: { $sealed: await scope.vault.seal(bindingOf(scope, place), place.value, consentTo(scope, place)) },
      });
    }
    const sealed = sealedIn(place.value);
    const bound = sealed === undefined ? undefined : await boundTo(scope, place, { sealed, former });
    if (bound !== undefined) changes.push({ path: place.path, value: { $sealed: bound } });
  }
  const keep = new Set(places.map(({ path }) => JSON.stringify(path)));
  return dropStray(replaceAt(stored, changes), [], keep) as ConfigObject;
}

/** Undefined when it is bound already, or cannot be read. */
async function boundTo(
  scope: ConfigScope,
  place: SecretPlace,
  { sealed, former }: { sealed: string; former: NonNullable<ConfigScope["endpoints"]> },
): Promise<string | undefined> {
  const opened = await scope.vault.open(bindingOf(scope, place), sealed).catch((error: unknown) => {
    if (error instanceof BackplaneError && error.code === "secret_unreadable") return undefined;
    throw error;
  });
  if (opened === undefined || opened.endpoints !== undefined) return undefined;
  const { value, ...consent } = opened;
  const endpoints = former.get(place.field) ?? [];
  return await scope.vault.seal(bindingOf(scope, place), value, { ...consent, endpoints });
}

function dropStray(value: unknown, path: (string | number)[], keep: ReadonlySet<string>): unknown {
  if (keep.has(JSON.stringify(path))) return value;
  if (Array.isArray(value)) return value.map((child, index) => dropStray(child, [...path, index], keep) ?? null);
  if (!isObject(value)) return value;
  if (sealedIn(value) !== undefined) return undefined;
  const entries = Object.entries(value).map(
    ([name, child]) => [name, dropStray(child, [...path, name], keep)] as const,
  );
  return Object.fromEntries(entries.filter(([, child]) => child !== undefined));
}

/** Binds every stored secret to the schema's present hosts: call it when an admin approves a version's wider hosts. Error: `secret_unreadable`. */
export async function rebindConfig(scope: ConfigScope, stored: ConfigObject): Promise<ConfigObject> {
  return await mapSealed(scope, stored, async (place, sealed) => {
    const { value } = await scope.vault.open(bindingOf(scope, place), sealed);
    return await scope.vault.seal(bindingOf(scope, place), value, consentTo(scope, place));
  });
}

/** Seals every stored secret with the current master key. One that no key opens stays as it is. */
export async function rotateConfig(scope: ConfigScope, stored: ConfigObject): Promise<ConfigObject> {
  return await mapSealed(scope, stored, (place, sealed) =>
    scope.vault.rotate(bindingOf(scope, place), sealed).catch((error: unknown) => {
      if (error instanceof BackplaneError && error.code === "secret_unreadable") return sealed;
      throw error;
    }),
  );
}

/** How many sealed values there are by the key that sealed them, as far as the vault tells keys apart. */
export function countSealed(vault: Pick<Vault, "sealedBy">, stored: unknown): Record<SealedBy, number> {
  const counts: Record<SealedBy, number> = { current: 0, former: 0, unknown: 0 };
  const visit = (value: unknown): void => {
    const sealed = sealedIn(value);
    if (sealed !== undefined) counts[vault.sealedBy(sealed)] += 1;
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(visit);
  };
  visit(stored);
  return counts;
}

async function mapSealed(
  scope: ConfigScope,
  stored: ConfigObject,
  map: (place: SecretPlace, sealed: string) => Promise<string>,
): Promise<ConfigObject> {
  const changes: { path: SecretPlace["path"]; value: unknown }[] = [];
  for (const place of findSecrets(scope.schema, stored)) {
    const sealed = sealedIn(place.value);
    if (sealed !== undefined) changes.push({ path: place.path, value: { $sealed: await map(place, sealed) } });
  }
  return replaceAt(stored, changes);
}

/** What the consent page says about secrets: field, the hosts it may go to, and whether the plugin sees the plain value. */
export function secretConsent(schema: unknown): { field: string; hosts: string[]; expose: boolean }[] {
  return listSecretFields(schema).map(({ field, hosts, expose }) => ({ field, hosts, expose }));
}

/** The JWE of a sealed record. */
export function sealedIn(value: unknown): string | undefined {
  return isObject(value) && typeof value["$sealed"] === "string" ? value["$sealed"] : undefined;
}

export function bindingOf(
  scope: Pick<ConfigScope, "organization" | "installation">,
  place: { field: string },
): { organization: string; installation: string; field: string } {
  return { organization: scope.organization, installation: scope.installation, field: place.field };
}
