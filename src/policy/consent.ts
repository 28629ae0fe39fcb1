/** What an organisation is asked to consent to, what it may grant, what still waits, and what a new version changes. */
import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { covers } from "../manifest/covers.ts";
import { clip } from "../manifest/path.ts";
import { describePermission, parsePermission, type Risk } from "../manifest/permissions.ts";
import { secretFields } from "../manifest/secret-fields.ts";
import { permits } from "./permits.ts";

export { describePermission };

type Asked = Pick<Manifest, "permissions" | "optionalPermissions">;

export interface ConsentItem {
  permission: string;
  required: boolean;
  sentence: string;
  risk: Risk;
}

/** Something to know besides permissions, shown with the same weight. */
export interface ConsentNotice {
  kind: "secret_exposed" | "connection";
  /** Path of the config field, dotted; of a connection, its name and where its tokens come from and go to. */
  field: string;
  sentence: string;
  risk: Risk;
}

export interface Consent {
  permissions: ConsentItem[];
  notices: ConsentNotice[];
}

/** In the manifest's order, required first. */
export function consentOf(manifest: Manifest): Consent {
  return {
    permissions: askedItems(manifest),
    notices: [...exposedSecrets(manifest), ...connectionNotices(manifest)],
  };
}

function askedItems(manifest: Asked): ConsentItem[] {
  return [
    ...manifest.permissions.map((text) => ({ ...describePermission(text), required: true })),
    ...manifest.optionalPermissions.map((text) => ({ ...describePermission(text), required: false })),
  ];
}

function exposedSecrets(manifest: Manifest): ConsentNotice[] {
  return secretFields(manifest.configSchema)
    .filter((secret) => secret.expose)
    .map(({ field }) => ({
      kind: "secret_exposed",
      field,
      sentence: `The plugin's code sees the plain value of the secret \`${clip(field)}\` and could pass it on.`,
      risk: "high",
    }));
}

/** The field names the hosts as well, so that a version that changes them shows as a new notice. */
function connectionNotices({ contributes }: Manifest): ConsentNotice[] {
  return Object.entries(contributes?.connections ?? {}).map(([name, { tokenUrl, authorizationUrl, hosts }]) => {
    const from = new URL(tokenUrl).hostname;
    const agreesAt = authorizationUrl === undefined ? from : new URL(authorizationUrl).hostname;
    const asks = agreesAt === from ? clip(from, 253) : `${clip(from, 253)} (a person agrees at ${clip(agreesAt, 253)})`;
    return {
      kind: "connection",
      field: `${name} ${[...new Set([from, agreesAt])].join(" ")} ${hosts.join(" ")}`,
      sentence: `The hub asks ${asks} for access in the organisation's name (connection \`${clip(name)}\`) and sends the token to ${hosts.map((host) => clip(host, 253)).join(", ")}; the plugin's code never sees it.`,
      risk: "medium",
    };
  });
}

/** Undefined when an admin may grant `grant` to a plugin with this manifest; else the reason, for `invalid_grants`. */
export function grantFault(manifest: Asked, grant: string): string | undefined {
  const { fault } = parsePermission(grant);
  if (fault !== undefined) return fault.replace(/\.$/, "");
  const asked = [...manifest.permissions, ...manifest.optionalPermissions];
  if (asked.some((held) => covers(held, grant) && !(grant === "network:outbound" && held !== grant))) return undefined;
  if (grant.startsWith("network:outbound:") && asked.includes("network:outbound")) return undefined;
  return "the plugin does not ask for it";
}

export function isGrantable(manifest: Asked, grant: string): boolean {
  return grantFault(manifest, grant) === undefined;
}

/** All that the manifest asks for: what `grants: "all"` means. */
export function allPermissions(manifest: Asked): string[] {
  return [...new Set([...manifest.permissions, ...manifest.optionalPermissions])];
}

/** Asked for and not granted, in the manifest's order, required first. */
export function pendingPermissions(manifest: Asked, grants: readonly string[]): string[] {
  return allPermissions(manifest).filter((text) => !permits(grants, text));
}

/** Required and not granted: these keep a plugin from being activated. */
export function missingGrants(manifest: Asked, grants: readonly string[]): string[] {
  return manifest.permissions.filter((text) => !permits(grants, text));
}

export interface ConsentDiff {
  /** Asked for by the new version and covered by nothing the old one asked for. */
  added: ConsentItem[];
  /** No longer asked for. Their grants lapse. */
  removed: ConsentItem[];
  /** The same permission, now required and formerly optional, or the other way round. */
  changed: ConsentItem[];
  noticesAdded: ConsentNotice[];
}

/** Only `added` and `noticesAdded` need a new decision; grants are never widened by a version. */
export function diffConsent(before: Manifest | undefined, after: Manifest): ConsentDiff {
  const old = before === undefined ? { permissions: [], notices: [] } : consentOf(before);
  const now = consentOf(after);
  const oldTexts = old.permissions.map((item) => item.permission);
  const nowTexts = now.permissions.map((item) => item.permission);
  return {
    added: now.permissions.filter((item) => !permits(oldTexts, item.permission)),
    removed: old.permissions.filter((item) => !permits(nowTexts, item.permission)),
    changed: now.permissions.filter((item) =>
      old.permissions.some((was) => was.permission === item.permission && was.required !== item.required),
    ),
    noticesAdded: now.notices.filter(
      (notice) => !old.notices.some((was) => was.kind === notice.kind && was.field === notice.field),
    ),
  };
}

/** Grants that a version still may use: those its manifest makes grantable. */
export function keepGrants(manifest: Asked, grants: readonly string[]): string[] {
  return grants.filter((grant) => isGrantable(manifest, grant));
}
