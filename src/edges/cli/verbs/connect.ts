/** `connect ID [NAME]`: makes an OAuth connection of a plugin, or lists them: prints where to agree, and waits until that is done. */
import type { Command } from "commander";
import { sleep } from "../../../base/deferred.ts";
import type { Cli } from "../cli.ts";
import { CliFailure, usageFailure } from "../failure.ts";
import { type HubClient, pluginPath } from "../hub-client.ts";
import { printable } from "../printer.ts";

interface Connection {
  name: string;
  grant: "authorization_code" | "client_credentials";
  status: "not_connected" | "connected" | "needs_reconnect";
  scopes: string[];
  account: string | null;
  connectedAt: string | null;
  lastError: { message: string; at: string } | null;
  redirectUri: string | null;
}

interface ConnectOptions {
  remove?: boolean;
  wait: boolean;
  json?: boolean;
}

const pollMs = 1_000;
const waitMs = 10 * 60_000;

export function connectVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  program
    .command("connect")
    .description("connect a plugin to the service it works with (OAuth 2)")
    .argument("<id>", "the plugin's id")
    .argument("[name]", "the connection's name; none: list them")
    .option("--remove", "forget the connection's tokens")
    .option("--no-wait", "print the address and do not wait")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nThe address has to be opened by whoever may agree at the service, within ten minutes.\n\nExamples:\n  backplane connect com.microsoft.graph\n  backplane connect com.microsoft.graph accessToken",
    )
    .action(async (id: string, name: string | undefined, { remove = false, wait, json = false }: ConnectOptions) => {
      const hub = cli.hub();
      if (name === undefined) {
        if (remove) throw usageFailure("Name the connection that is to be removed.");
        const listed = await list(hub, id);
        if (json) return print.json({ connections: listed });
        if (listed.length === 0) print.line("The plugin has no connections.");
        for (const connection of listed) print.line(describe(connection));
        return;
      }
      const path = pluginPath(id, `/connections/${encodeURIComponent(name)}`);
      if (remove) {
        await hub.call(path, { method: "DELETE" });
        return print.line(`${printable(name)}: not connected`);
      }
      const before = await find(hub, id, name);
      if (before.grant === "client_credentials") {
        const connected = await hub.call<Connection>(`${path}/connect`, { method: "POST", body: {} });
        return json ? print.json(connected) : print.line(describe(connected));
      }
      const { url, expiresAt } = await hub.call<{ url: string; expiresAt: string }>(`${path}/authorize`, {
        method: "POST",
        body: {},
      });
      if (!wait) return json ? print.json({ url, expiresAt }) : print.line(url);
      print.note(`The service must know this redirect address: ${printable(before.redirectUri ?? "")}`);
      print.note("Open this address and agree:");
      print.note(printable(url));
      const after = await made(hub, id, before, cli.io.signal);
      return json ? print.json(after) : print.line(describe(after));
    });
}

async function list(hub: HubClient, id: string): Promise<Connection[]> {
  return (await hub.call<{ connections: Connection[] }>(pluginPath(id, "/connections"))).connections;
}

async function find(hub: HubClient, id: string, name: string): Promise<Connection> {
  const listed = await list(hub, id);
  const found = listed.find((connection) => connection.name === name);
  if (found) return found;
  const others = listed.map((connection) => connection.name).join(", ");
  throw new CliFailure(`Plugin '${id}' has no connection '${name}'.`, {
    code: "not_found",
    help: others === "" ? "It needs none." : `It has: ${others}`,
  });
}

/** Polls until the connection is newer than `before`, or the attempt went wrong. */
async function made(hub: HubClient, id: string, before: Connection, signal: AbortSignal): Promise<Connection> {
  const until = Date.now() + waitMs;
  while (Date.now() < until) {
    await sleep(pollMs, signal);
    if (signal.aborted) throw new CliFailure("Stopped.", { code: "stopped" });
    const now = await find(hub, id, before.name);
    if (now.status === "connected" && now.connectedAt !== before.connectedAt) return now;
    if (now.lastError !== null && now.lastError.at !== before.lastError?.at)
      throw new CliFailure(`Connection '${before.name}' was not made: ${now.lastError.message}.`, {
        code: "connection_refused",
      });
  }
  throw new CliFailure("Nobody agreed within ten minutes.", { code: "timeout", help: "Run the command again." });
}

function describe({ name, status, account, scopes, lastError }: Connection): string {
  const of = account === null ? "" : ` as ${printable(account)}`;
  const may = status === "connected" && scopes.length > 0 ? ` (${scopes.map(printable).join(" ")})` : "";
  const why = status !== "connected" && lastError ? `: ${printable(lastError.message)}` : "";
  return `${printable(name)}: ${status.replace("_", " ")}${of}${may}${why}`;
}
