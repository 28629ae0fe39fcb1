/**
 * The permission grammar: every permission a manifest may ask for and an admin may grant, each with one spelling, a
 * sentence for the consent page and a risk. What is not in this table is refused by name. Long because it is a table.
 */
import { isEntityName } from "./entity-name.ts";
import { eventPatternFault } from "./event-pattern.ts";
import { hostFault, isWildcardHost, showHost } from "./host-name.ts";
import { didYouMean, nearest } from "./near-miss.ts";
import { clip } from "./path.ts";
import { pluginIdFault } from "./plugin-id.ts";

export type Risk = "low" | "medium" | "high";

export interface Permission {
  /** The one spelling; equal to what was written. */
  text: string;
  /** `network:outbound`, `event:publish`, `read:org`, … */
  namespace: string;
  /** What follows the namespace: host, event pattern, entity, path or plugin id. */
  target?: string;
  /** Plain words for the person who consents. */
  sentence: string;
  risk: Risk;
}

export type ParsedPermission =
  | { permission: Permission; fault?: undefined }
  | { permission?: undefined; fault: string };

interface Row {
  sentence: string | ((target: string) => string);
  risk: Risk | ((target: string) => Risk);
  /** Only rows that take a target. */
  target?: { example: string; fault(target: string): string | undefined };
}

const maxLength = 320;
/** Event domains that only the hub itself publishes. */
const reservedDomains = ["plugin", "backplane"];

const fixed: Record<string, Row> = {
  "network:inbound": { sentence: "Receive web requests from outside services (webhooks).", risk: "medium" },
  "network:outbound": {
    sentence: "Send web requests to hosts that you name; until you name some, to none.",
    risk: "medium",
  },
  "storage:read": { sentence: "Read the files it has stored here.", risk: "low" },
  "secrets:keep": {
    sentence: "Have secrets that services give it kept sealed, and sent back to those services alone.",
    risk: "low",
  },
  "storage:write": { sentence: "Store, change and delete files of its own here.", risk: "medium" },
  "read:org": { sentence: "Read your organisation's name and settings.", risk: "low" },
  "write:workflows": { sentence: "Create, change and delete your automation rules.", risk: "high" },
  "read:robots": { sentence: "Read the state of your robots and devices.", risk: "medium" },
  "write:robots": { sentence: "Control your robots and devices.", risk: "high" },
  "read:streams": { sentence: "Read your live data streams.", risk: "medium" },
  "write:streams": { sentence: "Write into your live data streams.", risk: "high" },
};

const targeted: Record<string, Row> = {
  "network:outbound": {
    sentence: (host) => `Send web requests to ${showHost(host)}.`,
    risk: (host) => (isWildcardHost(host) || host.includes("xn--") ? "high" : "medium"),
    target: { example: "network:outbound:api.vendor.com", fault: hostFault },
  },
  "event:publish": {
    sentence: (pattern) =>
      asksForMessages(pattern)
        ? `Publish ${showEvents(pattern)} to your other plugins and rules, and so send messages in your name over all your channels.`
        : `Publish ${showEvents(pattern)} to your other plugins and rules.`,
    risk: (pattern) =>
      asksForMessages(pattern) ? "high" : /^(data|connector|comms)\./.test(pattern) ? "medium" : "low",
    target: { example: "event:publish:greeter.*", fault: publishFault },
  },
  "event:subscribe": {
    sentence: (pattern) => `See ${showEvents(pattern)} with their content.`,
    risk: "medium",
    target: { example: "event:subscribe:order.*", fault: eventPatternFault },
  },
  "data:read": {
    sentence: (entity) => `Read all your ${showEntity(entity)}.`,
    risk: "medium",
    target: { example: "data:read:contacts", fault: entityFault },
  },
  "data:write": {
    sentence: (entity) => `Create and change your ${showEntity(entity)}.`,
    risk: "high",
    target: { example: "data:write:tasks", fault: entityFault },
  },
  "filesystem:read": {
    sentence: (path) => `Read files under ${path} on the device where its agent runs.`,
    risk: "high",
    target: { example: "filesystem:read:C:/Users/Public/Documents", fault: folderFault },
  },
  "plugin:call": {
    sentence: (plugin) => `Call functions of the plugin ${plugin}, which acts with its own permissions.`,
    risk: "medium",
    target: { example: "plugin:call:acme.base", fault: (id) => pluginIdFault(id)?.replace(/[.?]$/, "") },
  },
};

/** Every permission without a target, for tests and documentation. */
export const fixedPermissions: readonly string[] = Object.keys(fixed);
/** An example of every permission with a target. */
export const targetedExamples: readonly string[] = Object.values(targeted).map((row) => row.target!.example);

const namespaces = [...new Set([...Object.keys(fixed), ...Object.keys(targeted)])];

export function parsePermission(text: string): ParsedPermission {
  const shown = `\`${clip(text, 100)}\``;
  if (text.length > maxLength) return { fault: `Permission ${shown} is longer than ${maxLength} characters.` };
  if (/^[*:.]+$/.test(text))
    return {
      fault: `Permission ${shown} would allow everything; name each permission, such as \`data:read:contacts\`.`,
    };
  const plain = Object.hasOwn(fixed, text) ? fixed[text] : undefined;
  if (plain !== undefined) return { permission: describe(text, text, undefined, plain) };

  const [first = "", second] = text.split(":", 2);
  const namespace = second === undefined ? first : `${first}:${second}`;
  const row = Object.hasOwn(targeted, namespace) ? targeted[namespace] : undefined;
  if (row === undefined) return { fault: unknownFault(text, shown, namespace) };
  const example = row.target!.example;
  if (text.length <= namespace.length + 1)
    return { fault: `Permission ${shown} does not say what for; write it like \`${example}\`.` };
  const target = text.slice(namespace.length + 1);
  const fault =
    /[\p{Cc}\s]/u.test(target) && namespace !== "filesystem:read"
      ? "it has white space or control characters"
      : row.target!.fault(target);
  if (fault !== undefined) return { fault: `Permission ${shown} is refused: ${fault}. Write it like \`${example}\`.` };
  return { permission: describe(text, namespace, target, row) };
}

/** For consent. What is no permission is described by its fault, as a high risk. */
export function describePermission(text: string): { permission: string; sentence: string; risk: Risk } {
  const { permission, fault } = parsePermission(text);
  return { permission: text, sentence: permission?.sentence ?? fault ?? "", risk: permission?.risk ?? "high" };
}

function describe(text: string, namespace: string, target: string | undefined, row: Row): Permission {
  const sentence = typeof row.sentence === "string" ? row.sentence : row.sentence(target!);
  const risk = typeof row.risk === "string" ? row.risk : row.risk(target!);
  return target === undefined ? { text, namespace, sentence, risk } : { text, namespace, target, sentence, risk };
}

function unknownFault(text: string, shown: string, namespace: string): string {
  const near = nearest(namespace, namespaces);
  const rest = text.slice(namespace.length);
  const meant = near === undefined ? undefined : parsePermission(`${near}${rest}`).permission;
  if (meant !== undefined) return `Permission ${shown} is unknown. Did you mean \`${meant.text}\`?`;
  if (namespaces.some((known) => namespace === known))
    return `Permission ${shown} takes nothing after \`${namespace}\`; write \`${namespace}\`.`;
  return `Permission ${shown} is unknown.${didYouMean(namespace, namespaces) || ` Known are ${namespaces.map((n) => `\`${n}\``).join(", ")}.`}`;
}

function publishFault(pattern: string): string | undefined {
  const fault = eventPatternFault(pattern);
  if (fault !== undefined) return fault;
  const domain = pattern.split(".")[0]!;
  return reservedDomains.includes(domain) ? `only the hub itself publishes \`${domain}.*\`` : undefined;
}

function entityFault(entity: string): string | undefined {
  if (/^[*.]+$/.test(entity)) return "`*` would allow all your data; name each entity";
  if (isEntityName(entity)) return undefined;
  const snake = entity.replace(/(?<=[a-z0-9])(?=[A-Z])/g, "_").toLowerCase();
  const meant = snake !== entity && isEntityName(snake) ? `; write \`${snake}\`` : "";
  return `an entity is a lower-case letter followed by lower-case letters, digits and \`_\`${meant}`;
}

function folderFault(path: string): string | undefined {
  const drive = /^[A-Za-z]:[\\/]/.test(path);
  if (!drive && !path.startsWith("/")) return "the path must be absolute";
  if (/[*?\p{Cc}\p{Cf}"<>|]/u.test(path) || path.lastIndexOf(":") > 1)
    return "the path has characters that a folder cannot have, or a wildcard";
  const parts = (drive ? path.slice(3) : path.slice(1)).split(/[\\/]/);
  if (parts.length === 1 && parts[0] === "") return "it would allow the whole disk; name a folder";
  if (parts.some((part) => part === "." || part === ".." || part === ""))
    return "the path may not have `.`, `..`, empty parts or a slash at the end";
  return undefined;
}

/** The hub sends the messages that such events ask for. */
const asksForMessages = (pattern: string): boolean => pattern === "comms.*" || pattern === "comms.MessageRequested";

function showEvents(pattern: string): string {
  return pattern.endsWith(".*") ? `all events of \`${pattern.slice(0, -2)}\`` : `events of type \`${pattern}\``;
}

function showEntity(entity: string): string {
  return entity.replaceAll("_", " ");
}
