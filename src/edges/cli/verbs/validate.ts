/** `validate DIR`: everything that is wrong with a plugin folder, by file, line and field. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { formatDiagnostic } from "../../../authoring/diagnostic.ts";
import type { Cli } from "../cli.ts";
import { CliFailure } from "../failure.ts";
import { type ConsentLine, printConsent } from "../plugin-source.ts";
import { printable } from "../printer.ts";

export function validateVerb(program: Command, { io, print }: Cli): void {
  program
    .command("validate")
    .description("check a plugin folder: its manifest and its code")
    .argument("[dir]", "the plugin's folder", ".")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane validate\n  backplane validate ./greeter --json")
    .action(async (dir: string, { json = false }: { json?: boolean }) => {
      const [{ checkFolder }, { describePermission }] = await Promise.all([
        import("../../../authoring/check-folder.ts"),
        import("../../../manifest/permissions.ts"),
      ]);
      const { folder, dialect, faults, warnings } = await checkFolder(resolve(io.cwd, dir));
      if (!folder) {
        const message = faults.length === 1 ? "There is one fault." : `There are ${faults.length} faults.`;
        throw new CliFailure(message, { code: "invalid_plugin", diagnostics: faults });
      }
      const { manifest, digest } = folder;
      const describe =
        (required: boolean) =>
        (permission: string): ConsentLine => ({ ...describePermission(permission), required });
      const permissions = [
        ...manifest.permissions.map(describe(true)),
        ...manifest.optionalPermissions.map(describe(false)),
      ];
      if (json) {
        print.json({ valid: true, id: manifest.id, version: manifest.version, dialect, digest, permissions, warnings });
        return;
      }
      print.line(`${manifest.id} ${manifest.version} is ${print.colour("green", "valid")}.`);
      if (dialect !== "canonical") print.line(`Its manifest is written in the ${dialect} dialect.`);
      printConsent({ print }, permissions);
      for (const warning of warnings)
        print.line(`${print.colour("yellow", "warning")} ${printable(formatDiagnostic(warning))}`);
    });
}
