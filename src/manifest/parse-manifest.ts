/**
 * Reads a manifest, in whichever dialect it is written, into the canonical one, and reports every fault at once: where it
 * stands in the file, and what to write instead. The only way into the hub for a manifest.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { type Manifest, manifestSchema } from "../../plugin-api/src/manifest.ts";
import { isObject } from "../base/json.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { crossFaults } from "./cross-checks.ts";
import { canonical } from "./dialects/canonical.ts";
import type { Dialect, DialectName, DialectReading } from "./dialects/dialect.ts";
import { madeOpen, madeOpenSdk } from "./dialects/made-open.ts";
import { mlebotics } from "./dialects/mlebotics.ts";
import { vivified } from "./dialects/vivified.ts";
import { dottedPath, type Fault, type Segment } from "./path.ts";
import { schemaFaults } from "./schema-sentences.ts";
import { readSourceText } from "./source-text.ts";
import { specialSentences } from "./special-sentences.ts";

export type { Manifest };

export interface ParseManifestOptions {
  /** Name of the file, repeated in the result for messages. */
  file?: string;
  /** Read as this dialect instead of finding out. */
  dialect?: DialectName;
}

export interface ParsedManifest {
  /** Present exactly when there are no faults; frozen, so it can be shared. */
  manifest?: Manifest;
  dialect: DialectName;
  faults: FieldError[];
  file?: string;
}

const maxFaults = 100;
/** The first that recognises a manifest reads it. */
const dialects: readonly Dialect[] = [vivified, madeOpenSdk, mlebotics, madeOpen, canonical];

/** `source` is text (faults then have line and column) or a value such as JSON gives. Never throws. */
export function parseManifest(source: unknown, options: ParseManifestOptions = {}): ParsedManifest {
  const result = read(source, options);
  if (options.file !== undefined) result.file = options.file;
  return result;
}

/** Error: `invalid_manifest` with every fault in `errors`. */
export function assertManifest(source: unknown, options: ParseManifestOptions = {}): Manifest {
  const { manifest, faults, file } = parseManifest(source, options);
  if (manifest !== undefined) return manifest;
  const plugin = isObject(source) && typeof source["id"] === "string" ? source["id"].slice(0, 128) : (file ?? "?");
  throw new BackplaneError("invalid_manifest", { plugin, count: faults.length }, { errors: faults });
}

function read(source: unknown, options: ParseManifestOptions): ParsedManifest {
  const forced = options.dialect;
  const text = typeof source === "string" ? source : jsonText(source);
  if (text === undefined)
    return { dialect: forced ?? "canonical", faults: [{ path: "$", message: "The manifest is no JSON object." }] };
  const file = readSourceText(text);
  const place = (fault: Fault): FieldError => ({
    path: dottedPath(fault.path),
    message: fault.message,
    ...(typeof source === "string" ? file.locate(fault.path, fault.at) : {}),
  });
  if (!isObject(file.value)) {
    const faults =
      file.faults.length > 0
        ? file.faults
        : [{ path: [], message: 'The manifest must be a JSON object: `{"id": …}`.' }];
    return { dialect: forced ?? "canonical", faults: faults.map(place) };
  }
  const raw = file.value;
  const dialect =
    dialects.find((candidate) => (forced === undefined ? candidate.recognises(raw) : candidate.name === forced)) ??
    canonical;
  const reading = dialect.read(raw);
  const shape = shapeFaults(reading.manifest);
  const inSource = [...shape, ...crossFaults(reading.manifest)].map((fault) => ({
    ...fault,
    path: sourcePath(reading, fault.path),
  }));
  const faults = distinct([...file.faults, ...reading.faults, ...inSource])
    .slice(0, maxFaults)
    .map(place);
  if (faults.length > 0) return { dialect: dialect.name, faults };
  return { manifest: deepFreeze(withDefaults(reading.manifest)), dialect: dialect.name, faults: [] };
}

/** Cycles, BigInts and deep recursion have no JSON. */
function jsonText(source: unknown): string | undefined {
  try {
    return JSON.stringify(source);
  } catch {
    return undefined;
  }
}

let compiled: ValidateFunction | undefined;

function shapeFaults(manifest: Record<string, unknown>): Fault[] {
  compiled ??= new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: false,
    logger: false,
    validateSchema: false,
    meta: false,
    inlineRefs: false,
    code: { optimize: false },
  }).compile(manifestSchema);
  if (compiled(manifest) === true) return [];
  const faults = schemaFaults(compiled.errors ?? [], { value: manifest, special: specialSentences, limit: maxFaults });
  compiled.errors = null;
  return faults.map((fault) =>
    fault.at === "key" && fault.path.length === 1
      ? { ...fault, message: misplaced(String(fault.path[0])) ?? fault.message }
      : fault,
  );
}

/** Fields that other systems write at the top and we write elsewhere. */
function misplaced(name: string): string | undefined {
  if (Object.hasOwn(manifestSchema.$defs.contributes.properties, name))
    return `\`${name}\` belongs into \`contributes\`; write \`contributes.${name}\`.`;
  const others: Record<string, string> = {
    config:
      "Describe settings in `configSchema` (a JSON Schema); `config` is a list of fields in other systems' manifests.",
    main: "Name the file in `entrypoint`.",
    entry: "Name the file in `entrypoint`.",
    displayName: "Write the title in `name`.",
    title: "Write the title in `name`.",
    allowed_domains: "Ask for each host in `permissions`, as `network:outbound:<host>`.",
    allowedDomains: "Ask for each host in `permissions`, as `network:outbound:<host>`.",
    instructionTemplate: "Write it in `contributes.instructions`.",
    default_config: "Write it in `defaultConfig`.",
    config_schema: "Write it in `configSchema`.",
    scripts: "Nothing runs at installation; remove it.",
  };
  const hint = Object.hasOwn(others, name) ? others[name] : undefined;
  return hint === undefined ? undefined : `\`${name}\` is not a field of the manifest. ${hint}`;
}

function sourcePath(reading: DialectReading, path: readonly Segment[]): readonly Segment[] {
  let best: DialectReading["origins"][number] | undefined;
  for (const origin of reading.origins) {
    const [from] = origin;
    if (from.length >= (best?.[0].length ?? 0) && from.every((segment, i) => segment === path[i])) best = origin;
  }
  return best === undefined ? path : [...best[1], ...path.slice(best[0].length)];
}

/** The type of a Made Open plugin says what it contributes; its code has the handlers. */
function withDefaults(raw: Record<string, unknown>): Manifest {
  const type = raw["type"] ?? "domain";
  const contributes: Record<string, unknown> = { ...(isObject(raw["contributes"]) ? raw["contributes"] : {}) };
  if ((type === "connector" || type === "channel") && contributes[type] === undefined) contributes[type] = {};
  const defaults = {
    id: raw["id"],
    name: raw["name"],
    version: raw["version"],
    type,
    runtime: "isolate",
    permissions: [],
    optionalPermissions: [],
    dependencies: {},
    capabilities: [],
    configSchema: { type: "object" },
    defaultConfig: {},
  };
  return { ...defaults, ...raw, type, contributes } as unknown as Manifest;
}

function distinct(faults: readonly Fault[]): Fault[] {
  const seen = new Set<string>();
  return faults.filter((fault) => {
    const key = JSON.stringify([fault.path, fault.message]);
    return seen.has(key) ? false : seen.add(key);
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}
