/**
 * Made Open's two shapes. On disk: a subset of the canonical manifest, read as it stands. In its SDK: `permissions` as an
 * object of hosts and data, `config` as a list of fields.
 */
import { isObject } from "../../base/json.ts";
import { didYouMean } from "../near-miss.ts";
import { clip, type Fault, type Segment } from "../path.ts";
import { readConfigList } from "./config-list.ts";
import type { Dialect } from "./dialect.ts";

const onDisk = new Set([
  "$schema",
  "id",
  "name",
  "version",
  "description",
  "type",
  "entrypoint",
  "permissions",
  "configSchema",
]);

export const madeOpen: Dialect = {
  name: "made-open",
  recognises: (raw) =>
    ["connector", "channel", "operator"].includes(String(raw["type"])) &&
    Object.keys(raw).every((key) => onDisk.has(key)),
  read: (raw) => ({ manifest: { ...raw }, origins: [], faults: [] }),
};

const groups = ["network", "data", "events", "storage"];

export const madeOpenSdk: Dialect = {
  name: "made-open-sdk",
  recognises: (raw) => isObject(raw["permissions"]),
  read(raw) {
    const { config, permissions, ...manifest } = raw;
    const list = readConfigList(Array.isArray(config) ? config : []);
    const faults: Fault[] = [...list.faults];
    if (config !== undefined && !Array.isArray(config))
      faults.push({ path: ["config"], message: "It must be a list of fields." });
    const texts: string[] = [];
    const origins = [...list.origins];
    const add = (text: string, source: Segment[]): void => {
      if (texts.includes(text)) return;
      origins.push([["permissions", texts.length], source]);
      texts.push(text);
    };
    for (const [group, value] of Object.entries(isObject(permissions) ? permissions : {})) {
      if (!groups.includes(group)) {
        faults.push({
          path: ["permissions", group],
          at: "key",
          message: `\`${clip(group)}\` is not a group of permissions.${didYouMean(group, groups) || ` Known: ${groups.map((name) => `\`${name}\``).join(", ")}.`}`,
        });
        continue;
      }
      for (const { text, source, fault } of readGroup(group, value)) {
        if (fault !== undefined) faults.push({ path: source, message: fault });
        else add(text, source);
      }
    }
    return {
      manifest: { ...manifest, permissions: texts, ...(config === undefined ? {} : { configSchema: list.schema }) },
      origins: [...origins, [["configSchema"], ["config"]]],
      faults,
    };
  },
};

interface Entry {
  text: string;
  source: Segment[];
  fault?: string;
}

function readGroup(group: string, value: unknown): Entry[] {
  const base: Segment[] = ["permissions", group];
  if (Array.isArray(value)) {
    return value.map((item, i): Entry => {
      const source = [...base, i];
      return typeof item === "string"
        ? { text: permissionText(group, undefined, item), source }
        : { text: "", source, fault: "It must be a text." };
    });
  }
  if (!isObject(value))
    return [{ text: "", source: base, fault: "It must be a list of texts, or an object of such lists." }];
  return Object.entries(value).flatMap(([kind, items]): Entry[] => {
    const source = [...base, kind];
    if (group === "network" && kind === "inbound") return items === true ? [{ text: "network:inbound", source }] : [];
    if (!Array.isArray(items)) return [{ text: "", source, fault: "It must be a list of texts." }];
    return items.map(
      (item, i): Entry =>
        typeof item === "string"
          ? { text: permissionText(group, kind, item), source: [...source, i] }
          : { text: "", source: [...source, i], fault: "It must be a text." },
    );
  });
}

/** Hosts are outbound; data without a verb is read-only, as the SDK's context is. A full permission stays as it is. */
function permissionText(group: string, kind: string | undefined, item: string): string {
  if (/^(network|data|event|storage):/.test(item) || (group === "network" && item === "inbound"))
    return item === "inbound" ? "network:inbound" : item;
  if (group === "network") return `network:outbound:${item}`;
  if (group === "storage") return `storage:${kind ?? item}`;
  const verb = /^(read|write|publish|subscribe):/.exec(item)?.[1];
  const target = verb === undefined ? item : item.slice(verb.length + 1);
  return group === "data" ? `data:${verb ?? kind ?? "read"}:${target}` : `event:${verb ?? kind ?? "publish"}:${target}`;
}
