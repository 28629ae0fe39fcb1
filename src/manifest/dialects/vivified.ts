/**
 * Vivified's manifest of a remote plugin: snake-case `security`, `compliance` and `health_check`, a list of dependencies,
 * `allowed_domains` instead of permissions, endpoints as paths. Its required fields are required here as well.
 */
import { isObject } from "../../base/json.ts";
import type { Fault, Segment } from "../path.ts";
import type { Dialect, DialectReading } from "./dialect.ts";

type Raw = Record<string, unknown>;

const securityNames = { authentication_required: "authenticationRequired", data_classification: "dataClassification" };
const complianceNames = {
  hipaa_controls: "hipaaControls",
  audit_level: "auditLevel",
  data_retention_days: "dataRetentionDays",
};
const healthNames = { interval: "intervalSeconds", interval_seconds: "intervalSeconds" };
const resourceNames = {
  memory: "memoryMb",
  memory_mb: "memoryMb",
  memory_limit: "memoryMb",
  cpu: "cpuCores",
  cpu_cores: "cpuCores",
  cpu_limit: "cpuCores",
};

export const vivified: Dialect = {
  name: "vivified",
  recognises(raw) {
    const has = (field: string, names: object): boolean =>
      isObject(raw[field]) && Object.keys(names).some((name) => name in (raw[field] as Raw));
    return (
      has("security", securityNames) ||
      has("compliance", complianceNames) ||
      "health_check" in raw ||
      "allowed_domains" in raw
    );
  },
  read(raw) {
    const {
      security,
      compliance,
      health_check,
      resources,
      allowed_domains,
      dependencies,
      endpoints,
      contributes,
      permissions,
      ...rest
    } = raw;
    const reading: DialectReading = { manifest: { runtime: "remote", ...rest }, origins: [], faults: [] };
    const rename = (from: string, value: unknown, to: string, names: Record<string, string>): void => {
      if (value === undefined) return;
      reading.origins.push([[to], [from]]);
      if (!isObject(value)) reading.manifest[to] = value;
      else {
        const renamed: Raw = {};
        for (const [name, item] of Object.entries(value)) {
          const known = Object.hasOwn(names, name) ? names[name]! : name;
          renamed[known] = item;
          reading.origins.push([
            [to, known],
            [from, name],
          ]);
        }
        reading.manifest[to] = renamed;
      }
    };
    const { allowed_domains: inSecurity, ...secured } = isObject(security) ? security : {};
    rename("security", isObject(security) ? secured : security, "security", securityNames);
    rename("compliance", compliance, "compliance", complianceNames);
    rename("health_check", health_check, "health", healthNames);
    rename("resources", resources, "resources", resourceNames);
    reading.manifest["permissions"] = [
      ...(Array.isArray(permissions) ? permissions : []),
      ...domains(allowed_domains, ["allowed_domains"], reading, Array.isArray(permissions) ? permissions.length : 0),
    ];
    const before = (reading.manifest["permissions"] as unknown[]).length;
    (reading.manifest["permissions"] as unknown[]).push(
      ...domains(inSecurity, ["security", "allowed_domains"], reading, before),
    );
    if (dependencies !== undefined) reading.manifest["dependencies"] = dependencyMap(dependencies, reading);
    if (endpoints !== undefined || contributes !== undefined)
      reading.manifest["contributes"] = withEndpoints(contributes, endpoints, reading);
    reading.faults.push(...requiredFaults(raw));
    return reading;
  },
};

function domains(list: unknown, source: Segment[], reading: DialectReading, offset: number): string[] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) {
    reading.faults.push({ path: source, message: 'It must be a list of domains, such as `["api.vendor.com"]`.' });
    return [];
  }
  return list.map((domain, i) => {
    reading.origins.push([
      ["permissions", offset + i],
      [...source, i],
    ]);
    return `network:outbound:${typeof domain === "string" ? domain : ""}`;
  });
}

/** Vivified names no versions. */
function dependencyMap(dependencies: unknown, reading: DialectReading): unknown {
  if (!Array.isArray(dependencies)) return dependencies;
  return Object.fromEntries(
    dependencies.flatMap((id, i): [string, string][] => {
      if (typeof id !== "string") {
        reading.faults.push({ path: ["dependencies", i], message: "It must be the id of a plugin." });
        return [];
      }
      reading.origins.push([
        ["dependencies", id],
        ["dependencies", i],
      ]);
      return [[id, "*"]];
    }),
  );
}

function withEndpoints(contributes: unknown, endpoints: unknown, reading: DialectReading): unknown {
  if (!isObject(endpoints) || (contributes !== undefined && !isObject(contributes)))
    return contributes ?? { endpoints };
  reading.origins.push([["contributes", "endpoints"], ["endpoints"]]);
  const named = Object.entries(endpoints).map(([name, path]) => {
    reading.origins.push([
      ["contributes", "endpoints", name, "path"],
      ["endpoints", name],
    ]);
    return [name, typeof path === "string" ? { path } : path];
  });
  return { ...contributes, endpoints: Object.fromEntries(named) };
}

function requiredFaults(raw: Raw): Fault[] {
  const faults: Fault[] = [];
  const security = isObject(raw["security"]) ? raw["security"] : {};
  const need = (present: boolean, path: Segment[], message: string): void =>
    void (present || faults.push({ path, message }));
  need(
    Array.isArray(raw["traits"]) && raw["traits"].length > 0,
    ["traits"],
    "A remote plugin of this kind names at least one trait, such as `audit_required`.",
  );
  need("authentication_required" in security, ["security"], "Write `security.authentication_required: true`.");
  need(
    "data_classification" in security,
    ["security"],
    'Name the data the plugin handles in `security.data_classification`, such as `["internal"]`.',
  );
  need(
    isObject(raw["compliance"]),
    ["compliance"],
    '`compliance` is missing; write `{"hipaa_controls": [], "audit_level": "basic"}`.',
  );
  return faults;
}
