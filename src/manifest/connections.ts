/**
 * Rules of `contributes.connections`: addresses that a configuration cannot lead elsewhere, hosts that the plugin may reach,
 * settings that exist, a client secret that is one.
 */
import { isObject } from "../base/json.ts";
import { covers } from "./covers.ts";
import { hostFault } from "./host-name.ts";
import { didYouMean } from "./near-miss.ts";
import { clip, type Fault, type Segment } from "./path.ts";
import { contributes, declaredPermissions, type Raw, texts } from "./raw-manifest.ts";
import { boundHostFault } from "./secret-fields.ts";

/** The hub's own; a plugin that set them could undo the checks of the answer. */
const ownParameters = new Set([
  "client_id",
  "client_secret",
  "code_challenge",
  "code_challenge_method",
  "nonce",
  "redirect_uri",
  "request",
  "request_uri",
  "response_mode",
  "response_type",
  "scope",
  "state",
]);

export function connectionFaults(raw: Raw): Fault[] {
  const offered = contributes(raw)["connections"];
  if (!isObject(offered)) return [];
  const settings = settingsOf(raw);
  const declared = declaredPermissions(raw);
  return Object.entries(offered).flatMap(([name, connection]) => {
    const path = ["contributes", "connections", name];
    const faults: Fault[] = nameFaults(name, settings, path);
    if (!isObject(connection)) return faults;
    return [
      ...faults,
      ...addressFaults(connection, settings, declared, path),
      ...hostFaults(connection, declared, path),
      ...clientFaults(connection, settings, path),
      ...parameterFaults(connection, path),
    ];
  });
}

type Settings = Record<string, unknown>;

function settingsOf({ configSchema }: Raw): Settings {
  return isObject(configSchema) && isObject(configSchema["properties"]) ? configSchema["properties"] : {};
}

function nameFaults(name: string, settings: Settings, path: Segment[]): Fault[] {
  if (name in Object.prototype)
    return [{ path, at: "key", message: `\`${name}\` is a name that every object has; choose another.` }];
  if (Object.hasOwn(settings, name))
    return [
      {
        path,
        at: "key",
        message: `\`${clip(name)}\` is a setting of \`configSchema\` as well, and both would be \`ctx.config.${clip(name)}\`; rename one.`,
      },
    ];
  return [];
}

function addressFaults(connection: Raw, settings: Settings, declared: readonly string[], path: Segment[]): Fault[] {
  const { grant, authorizationUrl, tokenUrl, revocationUrl } = connection;
  const faults: Fault[] = [];
  if (grant === "authorization_code" && authorizationUrl === undefined)
    faults.push({
      path: [...path, "authorizationUrl"],
      missing: true,
      message: "It is needed: where the user agrees.",
    });
  if (grant === "client_credentials" && authorizationUrl !== undefined)
    faults.push({
      path: [...path, "authorizationUrl"],
      message: "Nobody has to agree with `client_credentials`; remove it.",
    });
  for (const [field, url] of Object.entries({ authorizationUrl, tokenUrl, revocationUrl })) {
    if (typeof url !== "string") continue;
    const found = addressFault(url) ?? settingFault(url, settings);
    if (found !== undefined) faults.push({ path: [...path, field], message: found });
    else if (field === "revocationUrl") {
      if (typeof tokenUrl !== "string" || !URL.canParse(tokenUrl) || new URL(url).host !== new URL(tokenUrl).host)
        faults.push({
          path: [...path, field],
          message: "It gets the client's secret and its tokens, so its host is that of `tokenUrl`.",
        });
    } else if (field === "tokenUrl") {
      const needed = `network:outbound:${new URL(url).hostname}`;
      if (!declared.some((held) => covers(held, needed)))
        faults.push({
          path: [...path, field],
          message: `The hub asks for tokens there in the plugin's name; add \`${needed}\` to \`permissions\`.`,
        });
    }
  }
  return faults;
}

/** One spelling only: a URL that is read in two ways could lead tokens elsewhere. */
function addressFault(text: string): string | undefined {
  const authority = /^https:\/\/([^/?#]*)(?:[/?]|$)/.exec(text)?.[1];
  if (authority === undefined) return "It must be an address that begins with `https://`.";
  if (/[{}]/.test(authority))
    return "A setting may fill the path or the query, not the host: whoever configures the plugin could send secrets anywhere.";
  if (/[@:]/.test(authority)) return "It has a port or user information; write only the host.";
  const fault = hostFault(authority);
  if (fault !== undefined || authority.startsWith("*")) return `Its host is refused: ${fault ?? "`*` names no host"}.`;
  if (
    !/^[\x21-\x7e]*$/.test(text) ||
    text.includes("\\") ||
    text.includes("#") ||
    !URL.canParse(text.replace(/[{}]/g, ""))
  )
    return "It is no plain address: no spaces, backslashes or fragments.";
  return undefined;
}

/** Every `{field}` is a setting that people may see. */
function settingFault(url: string, settings: Settings): string | undefined {
  const rest = url.replace(/\{([A-Za-z][A-Za-z0-9_]*)\}/g, "");
  if (/[{}]/.test(rest)) return "Braces stand for a setting: write `{field}`.";
  for (const [, field = ""] of url.matchAll(/\{([A-Za-z][A-Za-z0-9_]*)\}/g)) {
    const schema = Object.hasOwn(settings, field) ? settings[field] : undefined;
    if (schema === undefined)
      return `\`{${clip(field)}}\` is no setting of \`configSchema\`.${didYouMean(field, Object.keys(settings))}`;
    if (isObject(schema) && schema["format"] === "secret")
      return `\`{${clip(field)}}\` is a secret, and addresses are kept in logs; use another setting.`;
  }
  return undefined;
}

function hostFaults({ hosts }: Raw, declared: readonly string[], path: Segment[]): Fault[] {
  return texts(hosts).flatMap(([i, host]): Fault[] => {
    const fault = boundHostFault(host, declared);
    return fault === undefined ? [] : [{ path: [...path, "hosts", i], message: fault }];
  });
}

function clientFaults(connection: Raw, settings: Settings, path: Segment[]): Fault[] {
  const { grant, clientAuthentication } = connection;
  const faults: Fault[] = [];
  const given = (field: "clientId" | "clientSecret"): string | undefined => {
    const value = connection[field] ?? field;
    return typeof value === "string" ? value : undefined;
  };
  const id = given("clientId");
  if (id !== undefined && !Object.hasOwn(settings, id))
    faults.push({
      path: [...path, "clientId"],
      message: `\`${clip(id)}\` is no setting of \`configSchema\`; add it, for the client id.${didYouMean(id, Object.keys(settings))}`,
    });
  if (clientAuthentication === "none") {
    if (connection["clientSecret"] !== undefined)
      faults.push({
        path: [...path, "clientSecret"],
        message: "A client that authenticates with `none` has no secret; remove it.",
      });
    if (grant === "client_credentials")
      faults.push({
        path: [...path, "clientAuthentication"],
        message: "`client_credentials` needs a secret; write `basic` or `post`.",
      });
    return faults;
  }
  const secret = given("clientSecret");
  if (secret === undefined) return faults;
  const schema = Object.hasOwn(settings, secret) ? settings[secret] : undefined;
  if (schema === undefined)
    faults.push({
      path: [...path, "clientSecret"],
      message: `\`${clip(secret)}\` is no setting of \`configSchema\`; add it as a secret, or write \`"clientAuthentication": "none"\`.${didYouMean(secret, Object.keys(settings))}`,
    });
  else if (!isObject(schema) || schema["format"] !== "secret")
    faults.push({
      path: [...path, "clientSecret"],
      message: `\`${clip(secret)}\` must be a secret: write \`"format": "secret"\` in its schema.`,
    });
  return faults;
}

function parameterFaults({ parameters }: Raw, path: Segment[]): Fault[] {
  if (!isObject(parameters)) return [];
  return Object.keys(parameters)
    .filter((name) => ownParameters.has(name.toLowerCase()))
    .map((name) => ({
      path: [...path, "parameters", name],
      at: "key" as const,
      message: `\`${clip(name)}\` is the hub's own; remove it.`,
    }));
}
