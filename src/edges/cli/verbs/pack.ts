/** `pack DIR -o FILE.tgz`: the package that `publish` takes. */
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { formatDiagnostic, inSource } from "../../../authoring/diagnostic.ts";
import type { Cli } from "../cli.ts";
import { printable } from "../printer.ts";

export function packVerb(program: Command, { io, print }: Cli): void {
  program
    .command("pack")
    .description("bundle a plugin folder into a package")
    .argument("[dir]", "the plugin's folder", ".")
    .option("-o, --out <file>", "where to write it (default: ID-VERSION.tgz here)")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane pack ./greeter -o greeter.tgz")
    .action(async (dir: string, { out, json = false }: { out?: string; json?: boolean }) => {
      const { packPlugin } = await import("../../../packages/pack.ts");
      const { writeFile } = await import("node:fs/promises");
      const { manifest, digest, tgz, warnings } = await packPlugin(resolve(io.cwd, dir));
      const file = resolve(io.cwd, out ?? `${manifest.id.replaceAll("/", "-")}-${manifest.version}.tgz`);
      await writeFile(file, tgz);
      if (json) {
        print.json({
          file,
          id: manifest.id,
          version: manifest.version,
          digest,
          bytes: tgz.byteLength,
          warnings: warnings.map(inSource),
        });
        return;
      }
      for (const warning of warnings) print.note(`warning ${printable(formatDiagnostic(inSource(warning)))}`);
      print.line(
        `${manifest.id} ${manifest.version} → ${relative(io.cwd, file) || file} (${tgz.byteLength} bytes, ${digest})`,
      );
    });
}
