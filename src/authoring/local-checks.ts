/**
 * What `doctor` can tell of this machine when no hub runs: whether a hub would start here, and with which walls. Reads and
 * connects only; starts nothing and changes nothing.
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readFile, stat, statfs } from "node:fs/promises";
import { createConnection } from "node:net";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { parseOverride } from "../egress/override.ts";
import { BackplaneError } from "../errors/error.ts";
import { wallsOfThisMachine } from "../runtimes/isolate/host/runner-command.ts";
import { parseMasterKeys } from "../secrets/master-key.ts";

export interface Finding {
  area: "wall" | "key" | "driver" | "setting" | "machine";
  name: string;
  /** `warning`: works, but not as production should; `problem`: does not work. */
  state: "active" | "inactive" | "warning" | "problem";
  detail: string;
}

export interface LocalCheckOptions {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** Checks the settings as a hub's start would; throws `invalid_settings`. */
  readSettings(env: Readonly<Record<string, string | undefined>>): unknown;
}

const run = promisify(execFile);
const lowSpace = 256 * 1024 * 1024;
/** For answers of a database or a bus. */
const patienceMs = 3000;

export async function checkMachine({ env, cwd, readSettings }: LocalCheckOptions): Promise<Finding[]> {
  const found = await Promise.all([
    nodeVersion(),
    sandbox(),
    bundler(),
    settings(env, readSettings),
    egressOverride(env),
    masterKey(env),
    dataFolder(resolve(cwd, env["BACKPLANE_DATA"] || ".backplane"), env["DATABASE_URL"] !== undefined),
    database(env["DATABASE_URL"] || undefined),
    bus(env["NATS_URL"] || undefined),
  ]);
  const walls = (await wallsOfThisMachine()).map(
    (wall): Finding => ({
      area: "wall",
      name: wall.name,
      state: wall.active ? "active" : "inactive",
      detail: wall.detail,
    }),
  );
  return [...found.flat(), ...walls];
}

async function nodeVersion(): Promise<Finding> {
  const major = Number(process.versions.node.split(".")[0]);
  return {
    area: "machine",
    name: "Node",
    state: major >= 24 ? "active" : "problem",
    detail: `${process.versions.node}${major >= 24 ? "" : "; 24 or newer is needed"}`,
  };
}

/** In a process of its own, with the flag that runners get, because a native fault would end this one. */
async function sandbox(): Promise<Finding> {
  const script =
    "const ivm = require('isolated-vm'); const i = new ivm.Isolate({ memoryLimit: 16 }); process.stdout.write(String(i.createContextSync().evalSync('6 * 7'))); i.dispose();";
  return run(process.execPath, ["--no-node-snapshot", "--no-warnings", "-e", script], {
    cwd: import.meta.dirname,
    timeout: 20_000,
  }).then(
    ({ stdout }): Finding =>
      stdout === "42"
        ? { area: "wall", name: "isolates", state: "active", detail: "isolated-vm loads and runs code" }
        : { area: "wall", name: "isolates", state: "problem", detail: "isolated-vm gave a wrong answer" },
    (error: Error): Finding => ({
      area: "wall",
      name: "isolates",
      state: "problem",
      detail: `isolated-vm does not load: ${lastLine(error.message)}`,
    }),
  );
}

async function bundler(): Promise<Finding> {
  try {
    const { transform } = await import("esbuild");
    await transform("export const a: number = 1", { loader: "ts" });
    return { area: "machine", name: "bundler", state: "active", detail: "esbuild works" };
  } catch (error) {
    return {
      area: "machine",
      name: "bundler",
      state: "problem",
      detail: `esbuild does not work: ${lastLine((error as Error).message)}`,
    };
  }
}

async function settings(
  env: LocalCheckOptions["env"],
  readSettings: LocalCheckOptions["readSettings"],
): Promise<Finding> {
  try {
    readSettings(env);
    return { area: "setting", name: "environment", state: "active", detail: "every variable can be read" };
  } catch (error) {
    return { area: "setting", name: "environment", state: "problem", detail: reasonOf(error) };
  }
}

async function egressOverride(env: LocalCheckOptions["env"]): Promise<Finding[]> {
  try {
    const hosts = [...parseOverride(env["BACKPLANE_EGRESS_OVERRIDE"]).keys()];
    if (hosts.length === 0) return [];
    return [
      {
        area: "setting",
        name: "egress override",
        state: "warning",
        detail: `TEST SETTING: requests to ${hosts.join(", ")} go to this machine`,
      },
    ];
  } catch (error) {
    return [{ area: "setting", name: "egress override", state: "problem", detail: reasonOf(error) }];
  }
}

async function masterKey(env: LocalCheckOptions["env"]): Promise<Finding[]> {
  const text = env["BACKPLANE_MASTER_KEY"];
  if (!text) return [];
  try {
    parseMasterKeys(text);
    return [{ area: "key", name: "master key", state: "active", detail: "from BACKPLANE_MASTER_KEY" }];
  } catch (error) {
    return [{ area: "key", name: "master key", state: "problem", detail: reasonOf(error) }];
  }
}

async function dataFolder(folder: string, hasDatabase: boolean): Promise<Finding[]> {
  const base = { area: "driver", name: "data folder" } as const;
  const there = await stat(folder).catch(() => undefined);
  if (there && !there.isDirectory()) return [{ ...base, state: "problem", detail: `${folder} is not a folder` }];
  let existing = folder;
  while (!(await stat(existing).catch(() => undefined)) && existing !== dirname(existing)) existing = dirname(existing);
  const writable = await access(existing, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) return [{ ...base, state: "problem", detail: `${folder} cannot be written by this user` }];
  const { bavail, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const findings: Finding[] = [
    free < lowSpace
      ? { ...base, state: "problem", detail: `${folder}: only ${Math.round(free / 1e6)} MB are free` }
      : {
          ...base,
          state: "active",
          detail: `${folder}${there ? "" : " (made at the first start)"}${hasDatabase ? ", for the artifact cache" : ""}`,
        },
  ];
  const token = await stat(join(folder, "admin-token")).catch(() => undefined);
  if (token && process.platform !== "win32" && (token.mode & 0o077) !== 0)
    findings.push({
      area: "key",
      name: "admin token",
      state: "problem",
      detail: `${join(folder, "admin-token")} can be read by others; run chmod 600 on it`,
    });
  const owner = await lockOwner(folder);
  if (owner !== undefined)
    findings.push({
      ...base,
      name: "lock",
      state: "warning",
      detail: `the process ${owner} has the folder open, but no hub answers`,
    });
  return findings;
}

/** Process that says it runs a hub on this folder, when it lives. */
async function lockOwner(folder: string): Promise<number | undefined> {
  try {
    const { pid } = JSON.parse(await readFile(join(folder, "hub.json"), "utf8")) as { pid?: unknown };
    if (typeof pid !== "number") return undefined;
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}

async function database(url: string | undefined): Promise<Finding> {
  const base = { area: "driver", name: "store" } as const;
  if (url === undefined) return { ...base, state: "active", detail: "embedded PGlite (DATABASE_URL is not set)" };
  const { Client } = (await import("pg")).default;
  const client = new Client({ connectionString: url, connectionTimeoutMillis: patienceMs, query_timeout: patienceMs });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string }>("select current_setting('server_version') as version");
    return { ...base, state: "active", detail: `PostgreSQL ${rows[0]?.version ?? ""} answers` };
  } catch (error) {
    return { ...base, state: "problem", detail: `DATABASE_URL: ${lastLine((error as Error).message)}` };
  } finally {
    await client.end().catch(() => {});
  }
}

/** Opens the port and reads the greeting, which needs no credentials. */
async function bus(urls: string | undefined): Promise<Finding> {
  const base = { area: "driver", name: "deliveries" } as const;
  if (urls === undefined) return { ...base, state: "active", detail: "by the database (NATS_URL is not set)" };
  const first = urls.split(",")[0] ?? "";
  const url = URL.canParse(first.includes("://") ? first : `nats://${first}`)
    ? new URL(first.includes("://") ? first : `nats://${first}`)
    : undefined;
  if (url === undefined)
    return { ...base, state: "problem", detail: "NATS_URL is not an address such as nats://127.0.0.1:4222" };
  return new Promise<Finding>((done) => {
    const socket = createConnection({ host: url.hostname, port: Number(url.port || 4222), timeout: patienceMs });
    const end = (state: Finding["state"], detail: string): void => {
      socket.destroy();
      done({ ...base, state, detail });
    };
    socket.once("data", (bytes) =>
      bytes.toString("latin1").startsWith("INFO ")
        ? end("active", "NATS answers")
        : end("problem", `what answers at ${url.host} is no NATS server`),
    );
    socket.once("timeout", () => end("problem", `NATS at ${url.host} does not answer`));
    socket.once("error", (error) => end("problem", `NATS at ${url.host}: ${lastLine(error.message)}`));
  });
}

function reasonOf(error: unknown): string {
  return error instanceof BackplaneError
    ? String(error.details["reason"] ?? error.message)
    : lastLine(String((error as Error).message));
}

function lastLine(text: string): string {
  return (
    text
      .trim()
      .split("\n")
      .findLast((line) => /\S/.test(line) && !/^\s+at /.test(line))
      ?.trim()
      .slice(0, 300) ?? ""
  );
}
