/**
 * The secrets that a config schema declares, `{"type": "string", "format": "secret", "hosts": […], "expose": false}`, and
 * what may be wrong with them. Finding the values in a config is src/secrets' work.
 */
import { isObject } from "../base/json.ts";
import { covers } from "./covers.ts";
import { hostFault } from "./host-name.ts";
import { clip, type Fault, type Segment } from "./path.ts";

export interface DeclaredSecret {
  /** Names from the root of the config, joined by `.`; `*` stands for the items of a list: `auth.token`, `accounts.*.key`. */
  field: string;
  /** Hosts the hub may send the value to; none: nowhere. */
  hosts: readonly string[];
  /** The guest sees the plain value. */
  expose: boolean;
  /** Where it stands in the schema. */
  at: readonly Segment[];
}

/** Every schema in `configSchema` that says `"format": "secret"`, wherever it stands. */
export function secretFields(configSchema: unknown): DeclaredSecret[] {
  const found: DeclaredSecret[] = [];
  const visit = (value: unknown, at: readonly Segment[]): void => {
    if (at.length > 64) return;
    if (Array.isArray(value)) for (const [i, item] of value.entries()) visit(item, [...at, i]);
    else if (isObject(value)) {
      if (value["format"] === "secret") {
        const hosts = Array.isArray(value["hosts"]) ? value["hosts"].filter((host) => typeof host === "string") : [];
        found.push({ field: fieldOf(at), hosts, expose: value["expose"] === true, at });
      }
      for (const [key, item] of Object.entries(value)) visit(item, [...at, key]);
    }
  };
  visit(configSchema, []);
  return found;
}

function fieldOf(at: readonly Segment[]): string {
  const names: Segment[] = [];
  for (let i = 0; i < at.length; i++) {
    const word = at[i];
    if (word === "properties" || word === "$defs" || word === "definitions") names.push(at[++i] ?? "");
    else if (["items", "prefixItems", "additionalProperties", "patternProperties"].includes(String(word)))
      names.push("*");
  }
  return names.join(".");
}

/** `declared`: the permissions the manifest asks for, required and optional. Paths start at the config schema. */
export function secretFaults(configSchema: unknown, declared: readonly string[]): Fault[] {
  const faults: Fault[] = [];
  for (const { at } of secretFields(configSchema)) {
    const schema = schemaAt(configSchema, at);
    const add = (name: Segment[], message: string): void => void faults.push({ path: [...at, ...name], message });
    if (schema["type"] !== "string") add(["type"], 'A secret is a text; write `"type": "string"`.');
    for (const name of ["default", "const", "enum", "examples"]) {
      if (name in schema)
        add([name], `A secret may not have \`${name}\`: it would stand in the manifest for all to read.`);
    }
    if ("expose" in schema && typeof schema["expose"] !== "boolean") {
      add(["expose"], "Write true to hand the plain value to the plugin, else leave it out.");
    }
    const hosts = schema["hosts"] ?? [];
    if (!Array.isArray(hosts)) add(["hosts"], 'It must be a list of hosts, such as `["api.vendor.com"]`.');
    else {
      for (const [i, host] of hosts.entries()) {
        const fault = boundHostFault(host, declared);
        if (fault !== undefined) add(["hosts", i], fault);
      }
    }
  }
  return faults;
}

/** What is wrong with a host that a secret, or an access token, is to be sent to. */
export function boundHostFault(host: unknown, declared: readonly string[]): string | undefined {
  if (typeof host !== "string") return "It must be a host, such as `api.vendor.com`.";
  const fault = hostFault(host);
  if (fault !== undefined) return `Host \`${clip(host)}\` is refused: ${fault}.`;
  const needed = `network:outbound:${host}`;
  if (declared.includes("network:outbound") || declared.some((held) => covers(held, needed))) return undefined;
  return `The plugin may not reach \`${host}\`, so the secret can never be sent there; add \`${needed}\` to \`permissions\`.`;
}

function schemaAt(root: unknown, path: readonly Segment[]): Record<string, unknown> {
  let here: unknown = root;
  for (const segment of path) here = (here as Record<Segment, unknown>)[segment];
  return here as Record<string, unknown>;
}
