/** What a manifest declares of a connection, with the installation's configuration filled in. Makes no request and reads no row. */
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { configWithDefaults } from "../policy/activation.ts";
import { bindingOf, sealedIn } from "../secrets/config.ts";
import { findSecrets } from "../secrets/secret-fields.ts";
import type { Vault } from "../secrets/vault.ts";

export type ManifestConnection = NonNullable<NonNullable<Manifest["contributes"]>["connections"]>[string];

/** A connection whose addresses and client are known. */
export interface Client {
  name: string;
  grant: "authorization_code" | "client_credentials";
  /** Present for `authorization_code`. */
  authorizationUrl: string | undefined;
  tokenUrl: string;
  /** Where tokens are taken back, on the host of `tokenUrl`. */
  revocationUrl: string | undefined;
  /** Host of `tokenUrl`. */
  tokenHost: string;
  scopes: readonly string[];
  hosts: readonly string[];
  clientId: string;
  /** Absent for public clients. */
  clientSecret: string | undefined;
  clientAuthentication: "basic" | "post" | "none";
  pkce: boolean;
  parameters: Readonly<Record<string, string>>;
}

export function declaredConnections(manifest: Pick<Manifest, "contributes">): [name: string, ManifestConnection][] {
  return Object.entries(manifest.contributes?.connections ?? {});
}

/** Error: `not_found`. */
export function declaredConnection({ manifest }: Pick<Installation, "manifest">, name: string): ManifestConnection {
  const found = declaredConnections(manifest).find(([candidate]) => candidate === name);
  if (!found) throw new BackplaneError("not_found", { thing: "connection" });
  return found[1];
}

/** Errors: `not_found`, `connection_refused` (something of the configuration is missing or unfit), `secret_unreadable`. */
export async function clientOf(vault: Vault, installation: Installation, name: string): Promise<Client> {
  const declared = declaredConnection(installation, name);
  const { manifest } = installation;
  const config = configWithDefaults(manifest, installation.config) as Record<string, unknown>;
  const refused = (reason: string): BackplaneError =>
    new BackplaneError("connection_refused", { plugin: installation.plugin, connection: name, reason });
  const value = async (field: string): Promise<string | undefined> =>
    (await openSetting(vault, installation, config, field))?.value;
  const fill = (url: string): string => fillTemplate(url, config, refused);

  const clientId = await value(declared.clientId ?? "clientId");
  if (clientId === undefined)
    throw refused(`the setting '${declared.clientId ?? "clientId"}' has no value; set it to the client id`);
  const tokenUrl = fill(declared.tokenUrl);
  const { tokenHost } = serversOf(declared);
  const authentication = declared.clientAuthentication ?? "basic";
  const secretField = declared.clientSecret ?? "clientSecret";
  const secret = authentication === "none" ? undefined : await openSetting(vault, installation, config, secretField);
  if (secret?.endpoints?.includes(tokenHost) === false)
    throw refused(
      `nobody has agreed that the secret '${secretField}' goes to ${tokenHost}, which this version names as its token endpoint; grant the plugin's permissions again to agree`,
    );
  const clientSecret = secret?.value;
  if (declared.grant === "client_credentials" && clientSecret === undefined)
    throw refused(`the setting '${secretField}' has no value; set it to the client secret`);
  return {
    name,
    grant: declared.grant,
    authorizationUrl: declared.authorizationUrl === undefined ? undefined : fill(declared.authorizationUrl),
    tokenUrl,
    revocationUrl: declared.revocationUrl === undefined ? undefined : fill(declared.revocationUrl),
    tokenHost,
    scopes: declared.scopes ?? [],
    hosts: declared.hosts,
    clientId,
    clientSecret,
    clientAuthentication: clientSecret === undefined ? "none" : authentication,
    pkce: declared.pkce ?? true,
    parameters: (declared.parameters as Record<string, string> | undefined) ?? {},
  };
}

/** The servers whom a connection trusts: hosts hold no settings, so the manifest alone names them. */
export interface Servers {
  tokenHost: string;
  /** Absent for `client_credentials`, and for connections made before it was kept. */
  authorizationHost?: string;
}

export function serversOf({ tokenUrl, authorizationUrl }: ManifestConnection): Servers {
  return {
    tokenHost: new URL(tokenUrl).hostname,
    ...(authorizationUrl === undefined ? {} : { authorizationHost: new URL(authorizationUrl).hostname }),
  };
}

/** Why tokens of other servers than those that `now` names need a person; undefined: they are the same. */
export function movedReason(then: Servers, now: Servers): string | undefined {
  const agreed = (from: string, to: string): string =>
    `its tokens came from ${from}, and the plugin now names ${to}, which nobody has agreed to`;
  if (then.tokenHost !== now.tokenHost) return agreed(then.tokenHost, now.tokenHost);
  if (then.authorizationHost !== undefined && then.authorizationHost !== now.authorizationHost)
    return agreed(then.authorizationHost, now.authorizationHost ?? "no place to agree at");
  return undefined;
}

/** A field of the configuration in plain, sealed or not; undefined when it is empty. */
async function openSetting(
  vault: Vault,
  { organization, id, manifest }: Installation,
  config: Record<string, unknown>,
  field: string,
): Promise<{ value: string; endpoints?: readonly string[] } | undefined> {
  const given = Object.hasOwn(config, field) ? config[field] : undefined;
  const sealed = sealedIn(given);
  if (sealed !== undefined) {
    const place = findSecrets(manifest.configSchema, config).find(({ path }) => path.length === 1 && path[0] === field);
    if (!place) return undefined;
    return await vault.open(bindingOf({ organization, installation: id }, place), sealed);
  }
  return typeof given === "string" && given !== "" ? { value: given } : undefined;
}

/** `{field}` becomes the setting's value, encoded as one piece of a path or query: it can never choose the host. */
function fillTemplate(
  template: string,
  config: Record<string, unknown>,
  refused: (reason: string) => BackplaneError,
): string {
  const url = template.replace(/\{([^{}]*)\}/g, (_, field: string) => {
    const value = Object.hasOwn(config, field) ? config[field] : undefined;
    const text = typeof value === "number" ? String(value) : value;
    if (typeof text !== "string" || text === "" || isObject(value))
      throw refused(`the setting '${field}', which its address needs, has no value`);
    if (/^\.+$/.test(text) || text.length > 200 || !text.isWellFormed())
      throw refused(`the setting '${field}' cannot be a part of its address`);
    return encodeURIComponent(text);
  });
  if (url.length > 2_048) throw refused("its address is too long");
  return url;
}
