/** The hub's settings from the environment, as CONTRACT names them; all faults are reported at once. */
import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { BackplaneError } from "./errors/error.ts";
import type { IsolationMode } from "./policy/isolation-group.ts";

export interface HubSettings {
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** Without a trailing slash; `undefined`: the listening URL. */
  publicUrl?: string;
  dataDir: string;
  adminToken?: string;
  /** Base64, several separated by commas while rotating. */
  masterKey?: string;
  isolation: IsolationMode;
  /** JSON text; for tests only. */
  egressOverride?: string;
  databaseUrl?: string;
  natsUrl?: string;
  /** Stream and lock names, so that tests can share servers. */
  natsStream?: string;
  /** Plugins that always run alone in their runner. */
  highRisk: readonly string[];
  /** Days that ended executions, logs, events, dead letters and inbound requests are kept. */
  retentionDays: number;
  logLevel: "debug" | "info" | "warn" | "error" | "silent";
  /** Requests per second and caller. */
  requestsPerSecond: number;
  /** Hops, or addresses and ranges separated by commas; `undefined`: no proxy is believed. */
  trustProxy?: number | string;
  /** Folder of bundled plugins; `null`: none. */
  pluginsDir?: string | null;
}

export const defaultSettings: HubSettings = {
  host: "127.0.0.1",
  port: 7400,
  dataDir: ".backplane",
  isolation: "organisation",
  highRisk: [],
  retentionDays: 30,
  logLevel: "info",
  requestsPerSecond: 1000,
};

const isolationModes: readonly IsolationMode[] = ["organisation", "plugin", "shared"];
const logLevels = ["debug", "info", "warn", "error", "silent"] as const;

/** Error: `invalid_settings`, naming every wrong variable. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): HubSettings {
  const faults: string[] = [];
  const value = (name: string): string | undefined =>
    env[name] === undefined || env[name] === "" ? undefined : env[name];
  const whole = (name: string, fallback: number, min: number, max: number): number => {
    const text = value(name);
    if (text === undefined) return fallback;
    const number = Number(text);
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    faults.push(`${name} must be a whole number from ${min} to ${max}, not '${text}'`);
    return fallback;
  };
  const oneOf = <T extends string>(name: string, allowed: readonly T[], fallback: T): T => {
    const text = value(name);
    if (text === undefined) return fallback;
    if ((allowed as readonly string[]).includes(text)) return text as T;
    faults.push(`${name} must be ${allowed.map((item) => `'${item}'`).join(", ")}, not '${text}'`);
    return fallback;
  };

  const settings: HubSettings = {
    ...defaultSettings,
    host: value("HOST") ?? defaultSettings.host,
    port: whole("PORT", defaultSettings.port, 0, 65_535),
    dataDir: value("BACKPLANE_DATA") ?? defaultSettings.dataDir,
    isolation: oneOf("BACKPLANE_ISOLATION", isolationModes, defaultSettings.isolation),
    highRisk: (value("BACKPLANE_HIGH_RISK") ?? "")
      .split(",")
      .map((id) => id.trim())
      .filter((id) => id !== ""),
    retentionDays: whole("BACKPLANE_RETENTION_DAYS", defaultSettings.retentionDays, 1, 36_500),
    requestsPerSecond: whole("BACKPLANE_REQUESTS_PER_SECOND", defaultSettings.requestsPerSecond, 1, 1_000_000),
    logLevel: oneOf("BACKPLANE_LOG", logLevels, defaultSettings.logLevel),
  };
  const optional = {
    adminToken: "BACKPLANE_ADMIN_TOKEN",
    masterKey: "BACKPLANE_MASTER_KEY",
    egressOverride: "BACKPLANE_EGRESS_OVERRIDE",
    databaseUrl: "DATABASE_URL",
    natsUrl: "NATS_URL",
    natsStream: "BACKPLANE_NATS_STREAM",
  } as const;
  for (const [field, name] of Object.entries(optional)) {
    const text = value(name);
    if (text !== undefined) settings[field as keyof typeof optional] = text;
  }
  const publicUrl = value("BACKPLANE_PUBLIC_URL");
  if (publicUrl !== undefined) {
    if (/^https?:\/\//.test(publicUrl) && URL.canParse(publicUrl)) settings.publicUrl = publicUrl.replace(/\/+$/, "");
    else faults.push(`BACKPLANE_PUBLIC_URL must be an http or https address, not '${publicUrl}'`);
  }
  const proxy = value("BACKPLANE_TRUST_PROXY");
  if (proxy !== undefined) {
    const trusted = parseTrustProxy(proxy);
    if (trusted !== undefined) settings.trustProxy = trusted;
    else
      faults.push(
        `BACKPLANE_TRUST_PROXY must be a number of hops from 1 to 10, or addresses and ranges separated by commas, not '${proxy}'`,
      );
  }
  if (settings.adminToken !== undefined && settings.adminToken.length < 16)
    faults.push("BACKPLANE_ADMIN_TOKEN must have at least 16 characters");
  // The address holds a password: only its scheme is repeated.
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(settings.databaseUrl ?? "")?.[1];
  if (scheme !== undefined && !["postgres", "postgresql", "socket"].includes(scheme.toLowerCase()))
    faults.push(`DATABASE_URL must be the address of a PostgreSQL database, postgres://…, not ${scheme}:…`);
  if (settings.databaseUrl !== undefined && settings.masterKey === undefined) {
    faults.push(
      "BACKPLANE_MASTER_KEY is required with DATABASE_URL: every hub on one database must open the same secrets (32 bytes in base64, such as `openssl rand -base64 32` prints)",
    );
  }
  if (faults.length > 0) throw new BackplaneError("invalid_settings", { reason: faults.join("; ") });
  return settings;
}

/** Names of ranges, as the web framework knows them. */
const namedRanges = ["loopback", "linklocal", "uniquelocal"];

function parseTrustProxy(text: string): number | string | undefined {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= 10 ? Number(text) : undefined;
  const parts = text.split(",").map((part) => part.trim());
  const known = parts.every((part) => {
    const [address = "", bits] = part.split("/", 2);
    const version = isIP(address);
    if (version === 0) return namedRanges.includes(part);
    return (
      bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (version === 4 ? 32 : 128))
    );
  });
  return known ? parts.join(",") : undefined;
}

export interface AdminToken {
  token: string;
  /** Where it is kept; `null` when the environment gave it. */
  file: string | null;
}

/** The token of the environment, of the data folder, or a new one kept there with mode 0600. */
export async function readAdminToken(settings: Pick<HubSettings, "adminToken" | "dataDir">): Promise<AdminToken> {
  if (settings.adminToken !== undefined) return { token: settings.adminToken, file: null };
  const file = join(settings.dataDir, "admin-token");
  const kept = await readFile(file, "utf8").catch(() => undefined);
  if (kept?.trim()) return { token: kept.trim(), file };
  await mkdir(settings.dataDir, { recursive: true, mode: 0o700 });
  const token = `bpa_${randomBytes(32).toString("base64url")}`;
  const aside = `${file}.${randomBytes(6).toString("hex")}`;
  await writeFile(aside, `${token}\n`, { mode: 0o600 });
  // A link fails when another process was first; its token counts then.
  await link(aside, file).catch(() => {});
  await rm(aside, { force: true });
  return { token: (await readFile(file, "utf8")).trim(), file };
}
