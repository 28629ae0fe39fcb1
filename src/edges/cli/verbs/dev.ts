/** `dev DIR`: builds on every change and swaps the build in on a hub, the one that runs or one of its own. */
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { DevBuild, DevEvent } from "../../../authoring/dev-session.ts";
import { formatDiagnostic } from "../../../authoring/diagnostic.ts";
import type { Cli, RunningHub } from "../cli.ts";
import { CliFailure, toFailure } from "../failure.ts";
import { followLogs, type LogLine, showLogLine } from "../follow-logs.ts";
import { connect, type HubClient, pluginPath } from "../hub-client.ts";
import type { InstallationAnswer } from "../installation.ts";
import { locateHub } from "../locate-hub.ts";
import { publishBytes } from "../plugin-source.ts";
import { printable } from "../printer.ts";
import { collectAssignment, configFrom } from "../typed-config.ts";

interface DevOptions {
  config?: string[];
  grant: boolean;
  logs: boolean;
  once?: boolean;
  json?: boolean;
}

export function devVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("dev")
    .description("build and reload a plugin on every change")
    .argument("[dir]", "the plugin's folder", ".")
    .option("--config <key=value>", "a setting for the first installation; may be repeated", collectAssignment)
    .option("--no-grant", "do not grant what the plugin asks for")
    .option("--no-logs", "do not print the plugin's log")
    .option("--once", "build and reload once, then end")
    .option("--json", "print each step as one line of JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane dev ./greeter --config greeting=Hello\n\nWithout a running hub it starts one of its own, whose data is in DIR/.backplane.",
    )
    .action(async (named: string, options: DevOptions) => {
      const { runDevSession } = await import("../../../authoring/dev-session.ts");
      const { linkPluginApi } = await import("../../../authoring/link-plugin-api.ts");
      const dir = resolve(io.cwd, named);
      const { hub, own } = await hubFor(cli, dir, options);
      const logs = new AbortController();
      const tell = (event: DevEvent): void => (options.json ? print.jsonLine(event) : showEvent(cli, event));
      let following: Promise<void> | undefined;
      try {
        await linkPluginApi(dir);
        const good = await runDevSession({
          dir,
          signal: io.signal,
          once: options.once ?? false,
          onEvent: tell,
          async use(build) {
            const used = await swapIn(cli, hub, build, options);
            if (used && options.logs && !options.once)
              following ??= showLogs(cli, hub, build.id, {
                signal: AbortSignal.any([logs.signal, io.signal]),
                json: options.json ?? false,
              });
            return used;
          },
        });
        if (options.once && !good)
          throw new CliFailure("The plugin was not reloaded.", { code: "dev_failed", reported: options.json ?? false });
      } finally {
        logs.abort();
        await following;
        await own?.close();
      }
    });
}

/** The hub that answers, or one of this process. A hub that was named must answer. */
async function hubFor(cli: Cli, dir: string, { json }: DevOptions): Promise<{ hub: HubClient; own?: RunningHub }> {
  const { io, print } = cli;
  const hub = cli.hub();
  try {
    await hub.call("/api/plugins", { query: { limit: 1 }, timeoutMs: 10_000 });
    if (!json) print.note(`Using the hub at ${hub.address.url}, organisation ${hub.address.organizationName}.`);
    return { hub };
  } catch (error) {
    if (!(error instanceof CliFailure) || error.code !== "no_hub" || hub.address.urlFrom === "BACKPLANE_URL")
      throw error;
  }
  const env = {
    ...io.env,
    BACKPLANE_DATA: join(dir, ".backplane"),
    PORT: "0",
    BACKPLANE_LOG: io.env["BACKPLANE_LOG"] ?? "warn",
  };
  const own = await cli.startHub(env);
  if (!json) print.note(`No hub was running, so this one serves ${own.url}; other commands find it from ${dir}.`);
  return { hub: connect({ ...locateHub({ env, cwd: dir, home: cli.home }), url: own.url }), own };
}

/** Publishes the build and moves the installation to it. What the hub refuses is told, and the last build stays. */
async function swapIn(cli: Cli, hub: HubClient, build: DevBuild, options: DevOptions): Promise<boolean> {
  try {
    await publishBytes(hub, build.tgz);
    const before = await hub.call<InstallationAnswer>(pluginPath(build.id)).catch(absent);
    let installation = before
      ? await hub.call<InstallationAnswer>(pluginPath(build.id, "/upgrade"), {
          method: "POST",
          body: { version: build.version },
        })
      : await install(cli, hub, build, options);
    if (options.grant && installation.pendingPermissions.length > 0)
      installation = await hub.call(pluginPath(build.id, "/grants"), { method: "PUT", body: { grants: "all" } });
    if (installation.status !== "active") await hub.call(pluginPath(build.id, "/activate"), { method: "POST" });
    return true;
  } catch (error) {
    const failure = toFailure(error);
    if (failure.code === "no_hub" && cli.io.signal.aborted) return false;
    if (options.json)
      cli.print.jsonLine({
        kind: "refused",
        code: failure.code,
        message: failure.message,
        errors: failure.diagnostics,
      });
    else cli.print.failure(failure, { json: false });
    return false;
  }
}

async function install(
  { io }: Cli,
  hub: HubClient,
  { id, version, manifest }: DevBuild,
  { config = [], grant }: DevOptions,
): Promise<InstallationAnswer> {
  const settings = await configFrom(config, { schema: manifest.configSchema, current: {}, io });
  return hub.call("/api/plugins", {
    method: "POST",
    body: { id, version, ...(grant ? { grants: "all" } : {}), ...(config.length > 0 ? { config: settings } : {}) },
  });
}

function absent(error: unknown): undefined {
  if (error instanceof CliFailure && error.code === "not_found") return undefined;
  throw error;
}

async function showLogs(
  cli: Cli,
  hub: HubClient,
  id: string,
  { signal, json }: { signal: AbortSignal; json: boolean },
): Promise<void> {
  const { print } = cli;
  try {
    const { logs } = await hub.call<{ logs: LogLine[] }>(pluginPath(id, "/logs"), { query: { limit: 1 } });
    const lines = followLogs(hub, id, {
      after: logs[0]?.seq ?? 0,
      signal,
      wait: (ms) => sleep(ms, undefined, { signal }),
    });
    for await (const line of lines) json ? print.jsonLine({ kind: "log", ...line }) : showLogLine(print, line);
  } catch (error) {
    if (!signal.aborted) print.note(`The log cannot be read: ${toFailure(error).message}`);
  }
}

function showEvent({ print }: Cli, event: DevEvent): void {
  if (event.kind === "ready") {
    print.line(`${print.colour("green", "✓")} ${event.id} ${event.version} is active (${Math.round(event.ms)} ms)`);
    for (const warning of event.warnings)
      print.line(`  ${print.colour("yellow", "warning")} ${printable(formatDiagnostic(warning))}`);
  } else if (event.kind === "broken") {
    print.line(`${print.colour("red", "✗")} It does not build; the last good build stays.`);
    if (event.diagnostics.length === 0) print.line(`  ${printable(event.message)}`);
    for (const diagnostic of event.diagnostics) print.line(`  ${printable(formatDiagnostic(diagnostic))}`);
  } else print.line(`${print.colour("green", "✓")} Builds again, to what is active.`);
}
