/**
 * Rules of a manifest that cross its fields. Each check takes the manifest as written, perhaps with faults of shape
 * elsewhere, looks only at what has the right shape, and gives back every fault it finds.
 */
import semver from "semver";
import { isObject } from "../base/json.ts";
import { parseSchedule } from "../base/schedule.ts";
import { assuranceFaults } from "./assurances.ts";
import { compilePluginSchema, pluginSchemaFaults } from "./compile-schema.ts";
import { connectionFaults } from "./connections.ts";
import { eventPatternFault } from "./event-pattern.ts";
import { didYouMean } from "./near-miss.ts";
import { clip, type Fault, type Segment } from "./path.ts";
import { parsePermission } from "./permissions.ts";
import { pluginIdFault } from "./plugin-id.ts";
import { contributes, coversValid, declaredPermissions, objects, type Raw, texts } from "./raw-manifest.ts";
import { secretFaults, secretFields } from "./secret-fields.ts";

export function crossFaults(raw: Raw): Fault[] {
  return [
    ...permissionLists(raw),
    ...subscriptions(raw),
    ...inbound(raw),
    ...offeredNames(raw),
    ...narrowed(raw),
    ...dependencies(raw),
    ...schemas(raw),
    ...connectionFaults(raw),
    ...schedules(raw),
    ...defaults(raw),
    ...assuranceFaults(raw),
  ];
}

function schedules(raw: Raw): Fault[] {
  const connector = contributes(raw)["connector"];
  if (!isObject(connector)) return [];
  return ["schedule", "fullSchedule"].flatMap((field) => {
    const text = connector[field];
    const schedule = typeof text === "string" ? parseSchedule(text) : undefined;
    return typeof schedule === "string"
      ? [{ path: ["contributes", "connector", field], message: `The schedule is refused: ${schedule}.` }]
      : [];
  });
}

function permissionLists(raw: Raw): Fault[] {
  const faults: Fault[] = [];
  const seen = new Map<string, string>();
  for (const field of ["permissions", "optionalPermissions"]) {
    for (const [i, text] of texts(raw[field])) {
      const path = [field, i];
      const { fault, permission } = parsePermission(text);
      const before = seen.get(text);
      if (fault !== undefined) faults.push({ path, message: fault });
      else if (before !== undefined)
        faults.push({ path, message: `\`${text}\` stands in \`${before}\` already; keep one.` });
      else if (
        field === "optionalPermissions" &&
        texts(raw["permissions"]).some(([, held]) => coversValid(held, text))
      ) {
        faults.push({ path, message: `\`${text}\` is part of what \`permissions\` asks for already; remove it.` });
      } else if (permission!.namespace === "filesystem:read" && !speaksForDevices(raw)) {
        faults.push({
          path,
          message: `\`${clip(text, 100)}\` is for remote device agents only; write \`"runtime": "remote"\` or the trait \`device_agent\`, or remove it.`,
        });
      }
      seen.set(text, field);
    }
  }
  return faults;
}

/** A remote plugin is an agent itself; one with the trait tells agents what they may read. */
const speaksForDevices = (raw: Raw): boolean =>
  raw["runtime"] === "remote" || texts(raw["traits"]).some(([, trait]) => trait === "device_agent");

function subscriptions(raw: Raw): Fault[] {
  const declared = declaredPermissions(raw);
  const seen = new Set<string>();
  return texts(contributes(raw)["subscriptions"]).flatMap(([i, pattern]) => {
    const path = ["contributes", "subscriptions", i];
    const fault = eventPatternFault(pattern);
    if (fault !== undefined) return [{ path, message: `The subscription is refused: ${fault}.` }];
    if (seen.has(pattern)) return [{ path, message: `\`${pattern}\` is subscribed twice; keep one.` }];
    seen.add(pattern);
    const needed = `event:subscribe:${pattern}`;
    return declared.some((held) => coversValid(held, needed))
      ? []
      : [{ path, message: `No permission covers it; add \`${needed}\` to \`permissions\`.` }];
  });
}

function inbound(raw: Raw): Fault[] {
  if (contributes(raw)["webhook"] === undefined || declaredPermissions(raw).includes("network:inbound")) return [];
  return [
    {
      path: ["contributes", "webhook"],
      at: "key",
      message: "A webhook needs the permission `network:inbound`; add it to `permissions`.",
    },
  ];
}

/** Names that handlers are found by: each once, none that every object has. */
function offeredNames(raw: Raw): Fault[] {
  const offered = contributes(raw);
  const lists: [Segment[], string, unknown][] = [
    [["contributes", "functions"], "name", offered["functions"]],
    [["contributes", "conditions"], "id", offered["conditions"]],
    [["contributes", "actions"], "id", offered["actions"]],
    [["contributes", "dataAdapters"], "name", offered["dataAdapters"]],
    [["contributes", "variables"], "name", offered["variables"]],
    [
      ["contributes", "connector", "actions"],
      "name",
      isObject(offered["connector"]) ? offered["connector"]["actions"] : undefined,
    ],
  ];
  return lists.flatMap(([base, key, list]) => {
    const seen = new Set<string>();
    return objects(list).flatMap(([i, item]) => {
      const name = item[key];
      if (typeof name !== "string") return [];
      const path = [...base, i, key];
      if (name in Object.prototype)
        return [{ path, message: `\`${name}\` is a name that every object has; choose another.` }];
      if (seen.has(name)) return [{ path, message: `\`${clip(name)}\` is offered twice; rename one.` }];
      seen.add(name);
      return [];
    });
  });
}

/** What one function needs must be among what the plugin asks for. */
function narrowed(raw: Raw): Fault[] {
  const declared = declaredPermissions(raw);
  const offered = contributes(raw);
  return ["functions", "conditions", "actions"].flatMap((kind) =>
    objects(offered[kind]).flatMap(([i, item]) =>
      texts(item["permissions"]).flatMap(([j, text]): Fault[] => {
        const path = ["contributes", kind, i, "permissions", j];
        const { fault } = parsePermission(text);
        if (fault !== undefined) return [{ path, message: fault }];
        if (declared.some((held) => coversValid(held, text))) return [];
        return [
          {
            path,
            message: `The plugin does not ask for \`${text}\`; add it to \`permissions\` or \`optionalPermissions\`.${didYouMean(text, declared)}`,
          },
        ];
      }),
    ),
  );
}

function dependencies(raw: Raw): Fault[] {
  const wanted = raw["dependencies"];
  const faults: Fault[] = [];
  for (const [id, range] of isObject(wanted) ? Object.entries(wanted) : []) {
    const path = ["dependencies", id];
    const fault = pluginIdFault(id);
    if (fault !== undefined) faults.push({ path, at: "key", message: fault });
    else if (id === raw["id"])
      faults.push({ path, at: "key", message: "A plugin cannot depend on itself; remove it." });
    if (typeof range === "string" && semver.validRange(range) === null)
      faults.push({
        path,
        message: `\`${clip(range)}\` is not a version range; write one such as \`^1.2.0\`, or \`*\` for any.`,
      });
  }
  const hub = isObject(raw["engines"]) ? raw["engines"]["backplane"] : undefined;
  if (typeof hub === "string" && semver.validRange(hub) === null)
    faults.push({
      path: ["engines", "backplane"],
      message: `\`${clip(hub)}\` is not a version range; write one such as \`>=0.1.0\`.`,
    });
  return faults;
}

function schemas(raw: Raw): Fault[] {
  const offered = contributes(raw);
  const places: [Segment[], unknown, boolean][] = [[["configSchema"], raw["configSchema"], true]];
  for (const kind of ["functions", "conditions", "actions"]) {
    for (const [i, item] of objects(offered[kind])) {
      places.push([["contributes", kind, i, "parameters"], item["parameters"], true]);
      if (kind === "functions") places.push([["contributes", kind, i, "returns"], item["returns"], false]);
    }
  }
  if (isObject(offered["connector"])) {
    for (const [i, item] of objects(offered["connector"]["actions"]))
      places.push([["contributes", "connector", "actions", i, "parameters"], item["parameters"], true]);
  }
  const faults = places.flatMap(([base, schema, object]): Fault[] => {
    if (!isObject(schema)) return [];
    const found = pluginSchemaFaults(schema).map((fault) => ({ ...fault, path: [...base, ...fault.path] }));
    if (
      found.length > 0 ||
      !object ||
      schema["type"] === "object" ||
      (schema["type"] === undefined && !("properties" in schema && "items" in schema))
    )
      return found;
    return [{ path: [...base, "type"], message: 'It must describe an object; write `"type": "object"`.' }];
  });
  return [
    ...faults,
    ...secretFaults(raw["configSchema"], declaredPermissions(raw)).map((fault) => ({
      ...fault,
      path: ["configSchema", ...fault.path],
    })),
  ];
}

/** Given defaults fit the schema; what is missing in them is no fault, and secrets are never among them. */
function defaults(raw: Raw): Fault[] {
  const { configSchema, defaultConfig } = raw;
  if (!isObject(configSchema) || !isObject(defaultConfig) || pluginSchemaFaults(configSchema).length > 0) return [];
  const faults: Fault[] = [];
  for (const secret of secretFields(configSchema)) {
    let here: unknown = defaultConfig;
    for (const name of secret.field.split(".")) here = isObject(here) ? here[name] : undefined;
    if (here !== undefined)
      faults.push({
        path: ["defaultConfig", ...secret.field.split(".")],
        message: "A secret may not have a default: it would stand in the manifest for all to read.",
      });
  }
  for (const fault of compilePluginSchema(configSchema).validate(defaultConfig, { partial: true })) {
    faults.push({
      path: ["defaultConfig"],
      message: `${fault.path === "$" ? "" : `\`${fault.path}\`: `}${fault.message}`,
    });
  }
  return faults;
}
