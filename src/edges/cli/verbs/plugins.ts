/** `plugins`: what is installed; with an id, all about one; with `--catalog`, what can be installed. */
import type { Command } from "commander";
import { isObject } from "../../../base/json.ts";
import type { Cli } from "../cli.ts";
import { pluginPath } from "../hub-client.ts";
import { type InstallationAnswer, printInstallation } from "../installation.ts";
import { listAll } from "../list.ts";
import { printable } from "../printer.ts";

interface PackageLine {
  id: string;
  name: string;
  description: string | null;
  version: string;
  catalog: string;
}

export function pluginsVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  program
    .command("plugins")
    .description("list what is installed, or show one plugin")
    .argument("[id]", "show this one")
    .option("--catalog", "list what can be installed instead")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane plugins\n  backplane plugins acme.greeter\n  backplane plugins --catalog --json",
    )
    .action(
      async (id: string | undefined, { catalog = false, json = false }: { catalog?: boolean; json?: boolean }) => {
        const hub = cli.hub();
        if (id !== undefined) {
          const installation = await hub.call<InstallationAnswer>(pluginPath(id));
          const functions = await functionsOf(cli, installation);
          return json ? print.json({ ...installation, functions }) : showOne(cli, installation, functions);
        }
        if (catalog) {
          const packages = await listAll<PackageLine>(hub, "/api/packages", "packages");
          if (json) return print.json({ packages });
          return print.table(
            packages.map((line) => [
              line.id,
              line.version,
              line.catalog === "*" ? "bundled" : "own",
              line.description ?? line.name,
            ]),
            ["ID", "VERSION", "FROM", "WHAT"],
          );
        }
        const plugins = await listAll<InstallationAnswer>(hub, "/api/plugins", "plugins");
        if (json) return print.json({ plugins });
        if (plugins.length === 0)
          return print.line("Nothing is installed. `backplane plugins --catalog` lists what can be.");
        print.table(
          plugins.map(({ id, version, status, health, statusReason, healthReason, pendingPermissions }) => [
            id,
            version,
            status,
            health,
            [
              statusReason,
              healthReason,
              pendingPermissions.length > 0 ? `${pendingPermissions.length} permission(s) wait for approval` : null,
            ]
              .filter(Boolean)
              .join("; "),
          ]),
          ["ID", "VERSION", "STATUS", "HEALTH", "NOTE"],
        );
      },
    );
}

interface FunctionLine {
  name: string;
  description: string;
  parameters: unknown;
}

/** From the catalog, which has the manifest; a declaration without a package shows none. */
async function functionsOf(cli: Cli, { id }: InstallationAnswer): Promise<FunctionLine[]> {
  const answer = await cli
    .hub()
    .call<{ manifest?: { contributes?: unknown } }>(`/api/packages/${encodeURIComponent(id)}`)
    .catch(() => undefined);
  const contributes = answer?.manifest?.contributes;
  const functions = isObject(contributes) && Array.isArray(contributes["functions"]) ? contributes["functions"] : [];
  return functions.filter(isObject).map((entry) => ({
    name: String(entry["name"]),
    description: String(entry["description"] ?? ""),
    parameters: entry["parameters"] ?? {},
  }));
}

function showOne(cli: Cli, installation: InstallationAnswer, functions: readonly FunctionLine[]): void {
  const { print } = cli;
  const { name, runtime, health, healthReason, grants, config, digest, installedAt } = installation;
  print.line(print.colour("bold", printable(name)));
  printInstallation(cli, installation);
  print.table([
    ["health", `${health}${healthReason ? `: ${healthReason}` : ""}`],
    ["runtime", runtime],
    ["digest", digest ?? "none (a declaration)"],
    ["granted", grants.join(", ") || "nothing"],
    ["config", JSON.stringify(config)],
    ["installed", installedAt],
  ]);
  if (functions.length === 0) return;
  print.line(print.colour("bold", "Functions"));
  print.table(
    functions.map(({ name: called, description, parameters }) => [
      `  ${called}`,
      parameterNames(parameters),
      description,
    ]),
  );
}

function parameterNames(schema: unknown): string {
  const properties = isObject(schema) && isObject(schema["properties"]) ? Object.keys(schema["properties"]) : [];
  const required = isObject(schema) && Array.isArray(schema["required"]) ? schema["required"] : [];
  return `{${properties.map((name) => (required.includes(name) ? name : `${name}?`)).join(", ")}}`;
}
