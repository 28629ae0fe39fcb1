/** `install ID|DIR|FILE.tgz`: publishes what is not in the catalog yet, then installs, grants, configures and activates as told. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { pluginPath } from "../hub-client.ts";
import { collect, grantsOf, type InstallationAnswer, printInstallation } from "../installation.ts";
import { type ConsentLine, pluginSource, printConsent, publishSource } from "../plugin-source.ts";
import { collectAssignment, configFrom } from "../typed-config.ts";

interface InstallOptions {
  grant?: string[];
  version?: string;
  config?: string[];
  activate?: boolean;
  json?: boolean;
}

interface PackageAnswer {
  manifest: Record<string, unknown>;
  permissions: ConsentLine[];
}

export function installVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("install")
    .description("install a plugin of the catalog, a folder or a package")
    .argument("<plugin>", "an id, a plugin folder, or a .tgz")
    .option("--grant <permissions>", "`all`, or permissions with commas between; without, nothing is granted", collect)
    .option("--version <range>", "version or range, for an id")
    .option("--config <key=value>", "a setting, as in `configure`; may be repeated", collectAssignment)
    .option("--activate", "activate it at once")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane install acme.greeter --grant all --config greeting=Hello --activate\n  backplane install ./greeter --grant event:publish:greeter.*",
    )
    .action(async (named: string, { grant, version, config = [], activate = false, json = false }: InstallOptions) => {
      const hub = cli.hub();
      const source = await pluginSource(io.cwd, named);
      const published = source.kind === "id" ? undefined : await publishSource(hub, source);
      const id = published?.id ?? named;
      const about: PackageAnswer = published ?? (await hub.call(`/api/packages/${encodeURIComponent(id)}`));
      const settings =
        config.length === 0
          ? undefined
          : await configFrom(config, { schema: about.manifest["configSchema"], current: {}, io });
      const wanted = published?.version ?? version;
      const grants = grantsOf(grant);
      let installation = await hub.call<InstallationAnswer>("/api/plugins", {
        method: "POST",
        body: {
          id,
          ...(wanted === undefined ? {} : { version: wanted }),
          ...(grants === undefined ? {} : { grants }),
          ...(settings === undefined ? {} : { config: settings }),
        },
      });
      if (activate) installation = await hub.call(pluginPath(id, "/activate"), { method: "POST" });
      if (json) {
        print.json(installation);
        return;
      }
      printConsent(cli, about.permissions, installation.grants);
      printInstallation(cli, installation);
    });
}
