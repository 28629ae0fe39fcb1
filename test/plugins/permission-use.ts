/** A simple scan: which permissions the code of a plugin uses, and which uses no permission covers. Looks at text, not at types. */
import { covers } from "../../src/manifest/covers.ts";
import { matchesEventPattern } from "../../src/manifest/event-pattern.ts";
import type { BundledPlugin } from "./bundled-plugin.ts";

/** Understood by the grammar, but no ability stands behind them. */
const withoutAbility = /^(read:org|(read|write):(workflows|robots|streams)|filesystem:read:.*)$/;

type Scanned = Pick<BundledPlugin, "manifest" | "code">;

/** Permissions that nothing in the plugin uses. */
export function unusedPermissions({ manifest, code }: Scanned): string[] {
  return asked(manifest).filter((permission) => !isUsed(permission, { manifest, code }));
}

function isUsed(permission: string, { manifest, code }: Scanned): boolean {
  if (withoutAbility.test(permission)) return false;
  const [group, verb, ...rest] = permission.split(":");
  const target = rest.join(":");
  switch (`${group}:${verb}`) {
    case "network:inbound":
      return manifest.contributes.webhook !== undefined || /\bwebhook\b\s*[(:]/.test(code);
    case "network:outbound":
      return (
        (/ctx\.http\.|\bhttp\.(get|post|fetch)\(/.test(code) &&
          (target === "" || hostsIn(code).some((host) => covers(permission, `network:outbound:${host}`)))) ||
        tokenHosts(manifest).some((host) => covers(permission, `network:outbound:${host}`))
      );
    case "event:publish":
      return publishes(code) && eventTypesIn(code).some((type) => matchesEventPattern(target, type));
    case "event:subscribe":
      return (manifest.contributes.subscriptions ?? []).some((pattern) =>
        covers(permission, `event:subscribe:${pattern}`),
      );
    case "data:read":
      return new RegExp(`data\\.(query|page|count|getById)(<[^(]*>)?\\(\\s*"${target}"`).test(code);
    case "data:write":
      return new RegExp(`data\\.(upsert|delete)(<[^(]*>)?\\(\\s*"${target}"|\\btype: "${target}"`).test(code);
    case "storage:read":
      return /storage\.(get|list)\(/.test(code);
    case "secrets:keep":
      return /\bseal: \{/.test(code);
    case "storage:write":
      return /storage\.(put|delete)\(/.test(code);
    case "plugin:call":
      return code.includes("plugins.call") && code.includes(`"${target}"`);
    default:
      return false;
  }
}

/** Uses in the code that no permission of the manifest covers. */
export function uncoveredUses({ manifest, code }: Scanned): string[] {
  const needed = [
    ...(/\bctx\.http\.|\bhttp\.(get|post|fetch)\(/.test(code)
      ? hostsIn(code).map((host) => `network:outbound:${host}`)
      : []),
    ...[...code.matchAll(/emitEvent\(\s*"([^"]+)"/g)].map((match) => `event:publish:${match[1]}`),
    ...[...code.matchAll(/data\.(?:query|page|count|getById)(?:<[^(]*>)?\(\s*"(\w+)"/g)].map(
      (match) => `data:read:${match[1]}`,
    ),
    ...[...code.matchAll(/data\.(?:upsert|delete)(?:<[^(]*>)?\(\s*"(\w+)"/g)].map((match) => `data:write:${match[1]}`),
    ...[...code.matchAll(/plugins\.call(?:<[^(]*>)?\(\s*"([^"]+)"/g)].map((match) => `plugin:call:${match[1]}`),
    ...(/storage\.(get|list)\(/.test(code) ? ["storage:read"] : []),
    ...(/storage\.(put|delete)\(/.test(code) ? ["storage:write"] : []),
    ...(/\bseal: \{|\bsecrets\.(list|forget)\(/.test(code) ? ["secrets:keep"] : []),
  ];
  if (code.includes("emitEvent(") && !asked(manifest).some((held) => held.startsWith("event:publish:")))
    needed.push("event:publish:…");
  return [...new Set(needed)].filter((permission) => !asked(manifest).some((held) => covers(held, permission)));
}

/** By `ctx.emitEvent`, or with what `handleIncomingEvent` of a connector answers. */
const publishes = (code: string): boolean => code.includes("emitEvent(") || /\bevents:/.test(code);

const asked = (manifest: BundledPlugin["manifest"]): string[] => [
  ...manifest.permissions,
  ...manifest.optionalPermissions,
];

const hostsIn = (code: string): string[] =>
  [...code.matchAll(/["'`]https:\/\/([a-z0-9.-]+)/g)].map((match) => match[1]!);

/** Where the hub asks for the tokens of connections, in the plugin's name. */
const tokenHosts = ({ contributes }: BundledPlugin["manifest"]): string[] =>
  Object.values(contributes.connections ?? {}).map(({ tokenUrl }) => new URL(tokenUrl).host);

const eventTypesIn = (code: string): string[] =>
  [...code.matchAll(/["'`]([a-z][a-z0-9_-]*(?:\.[A-Za-z][A-Za-z0-9_-]*)+)["'`]/g)].map((match) => match[1]!);
