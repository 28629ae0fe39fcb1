/** `activate`, `deactivate`, `uninstall` and `upgrade`: one request each. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { pluginPath } from "../hub-client.ts";
import { type InstallationAnswer, printInstallation } from "../installation.ts";

export function lifecycleVerbs(program: Command, cli: Cli): void {
  const { print } = cli;
  const show = (installation: InstallationAnswer, json: boolean): void =>
    json ? print.json(installation) : printInstallation(cli, installation);
  const change = (verb: "activate" | "deactivate", description: string): void => {
    program
      .command(verb)
      .description(description)
      .argument("<id>", "the plugin's id")
      .option("--json", "print JSON")
      .addHelpText("after", `\nExamples:\n  backplane ${verb} acme.greeter`)
      .action(async (id: string, { json = false }: { json?: boolean }) =>
        show(await cli.hub().call(pluginPath(id, `/${verb}`), { method: "POST" }), json),
      );
  };
  change("activate", "activate a plugin; also ends a quarantine");
  change("deactivate", "deactivate a plugin; running calls may finish");

  program
    .command("upgrade")
    .description("change a plugin to another published version")
    .argument("<id>", "the plugin's id")
    .argument("<version>", "the version, higher or lower")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane upgrade acme.greeter 1.1.0")
    .action(async (id: string, version: string, { json = false }: { json?: boolean }) =>
      show(await cli.hub().call(pluginPath(id, "/upgrade"), { method: "POST", body: { version } }), json),
    );

  program
    .command("uninstall")
    .description("remove a plugin from the organisation")
    .argument("<id>", "the plugin's id")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane uninstall acme.greeter")
    .action(async (id: string, { json = false }: { json?: boolean }) => {
      await cli.hub().call(pluginPath(id), { method: "DELETE" });
      if (json) print.json({ id, uninstalled: true });
      else print.line(`${id} is uninstalled.`);
    });
}
