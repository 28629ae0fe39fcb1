/**
 * What every verb is given: where it writes, whose hub it speaks to, and the parts of the house that only the composition
 * root knows. Nothing of it is read from globals, so that tests run verbs in their own process.
 */
import type { Readable, Writable } from "node:stream";
import type { HubClient } from "./hub-client.ts";
import { connect } from "./hub-client.ts";
import { type HubAddress, locateHub } from "./locate-hub.ts";
import { createPrinter, type Printer } from "./printer.ts";

export interface CliIo {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean };
  /** Aborts at SIGINT or SIGTERM; verbs that wait end then. */
  signal: AbortSignal;
}

export interface RunningHub {
  url: string;
  /** Where the hub admin's token is kept; null when it came from the environment. */
  adminTokenFile: string | null;
  close(): Promise<void>;
}

/** What the composition root supplies; each is loaded only when a verb needs it, so that the others start fast. */
export interface CliDependencies {
  version: string;
  /** Starts a hub in this process, with settings as the environment would give them. */
  startHub(env: Readonly<Record<string, string | undefined>>): Promise<RunningHub>;
  /** Error: `invalid_settings`, which names every wrong variable. */
  readSettings(env: Readonly<Record<string, string | undefined>>): unknown;
  /** Module that a process loads before an author's tests; it supplies `testPlugin`. */
  testKit: URL;
  /** The folder of this copy of Backplane: its `.backplane` is looked at last. */
  home: string;
}

export interface Cli extends CliDependencies {
  io: CliIo;
  print: Printer;
  hubAddress(): HubAddress;
  /** Errors: a failure that says how to start a hub or to name a token, when asked. */
  hub(): HubClient;
}

export function createCli(io: CliIo, dependencies: CliDependencies): Cli {
  let client: HubClient | undefined;
  const hubAddress = (): HubAddress => locateHub({ env: io.env, cwd: io.cwd, home: dependencies.home });
  return {
    ...dependencies,
    io,
    print: createPrinter(io),
    hubAddress,
    hub: () => (client ??= connect(hubAddress())),
  };
}
