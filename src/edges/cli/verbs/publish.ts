/** `publish FILE.tgz`: puts a package into the organisation's catalog. Takes a folder as well, and packs it first. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { usageFailure } from "../failure.ts";
import { pluginSource, printConsent, publishSource } from "../plugin-source.ts";

export function publishVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("publish")
    .description("put a package into the organisation's catalog")
    .argument("<file>", "a .tgz made by `backplane pack`, or a plugin folder")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane pack ./greeter -o greeter.tgz && backplane publish greeter.tgz")
    .action(async (named: string, { json = false }: { json?: boolean }) => {
      const source = await pluginSource(io.cwd, named);
      if (source.kind === "id")
        throw usageFailure(
          `'${named}' is neither a .tgz file nor a plugin folder.`,
          "Make a package with `backplane pack DIR -o FILE.tgz`.",
        );
      const published = await publishSource(cli.hub(), source);
      if (json) {
        print.json(published);
        return;
      }
      print.line(`Published ${published.id} ${published.version} (${published.digest}).`);
      if (published.replacesBundled)
        print.line(print.colour("yellow", "It stands in for the bundled plugin of that id in your organisation."));
      printConsent(cli, published.permissions);
      print.line(`Install with: backplane install ${published.id}`);
    });
}
