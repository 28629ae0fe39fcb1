/** `create-plugin NAME`: a small complete plugin to begin with. Asks only a person at a terminal who gave no flags. */
import { basename, relative, resolve } from "node:path";
import { type Command, Option } from "commander";
import { pluginTypes, type ScaffoldType } from "../../../authoring/templates/template.ts";
import type { Cli } from "../cli.ts";
import { usageFailure } from "../failure.ts";

interface CreateOptions {
  id?: string;
  name?: string;
  type?: ScaffoldType;
  description?: string;
  yes?: boolean;
  json?: boolean;
}

export function createPluginVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("create-plugin")
    .description("write a small complete plugin to begin with")
    .argument("<name>", "folder to make; its last part names the plugin")
    .option("--id <id>", "the plugin's id (default: from the name)")
    .option("--name <title>", "its title (default: from the id)")
    .addOption(new Option("--type <type>", "what it mainly is").choices([...pluginTypes]))
    .option("--description <text>", "one sentence")
    .option("-y, --yes", "ask nothing")
    .option("--json", "print JSON; asks nothing")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane create-plugin greeter\n  backplane create-plugin ./plugins/crm --id acme.crm --type connector",
    )
    .action(async (folder: string, options: CreateOptions) => {
      const dir = resolve(io.cwd, folder);
      const { yes = false, json = false, ...given } = options;
      const quiet = yes || json || Object.keys(given).length > 0 || !io.stdin.isTTY || !io.stdout.isTTY;
      const answers = quiet ? given : { ...given, ...(await ask(basename(dir))) };
      const { scaffold } = await import("../../../authoring/scaffold.ts");
      const made = await scaffold({ dir, ...answers });
      if (json) {
        print.json({ dir, ...made });
        return;
      }
      const shown = relative(io.cwd, dir) || ".";
      print.line(`Wrote ${made.id} into ${shown}:`);
      for (const file of made.files) print.line(`  ${file}`);
      print.line("Next:");
      const typed = /^[\w./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
      print.line(`  backplane test ${typed}    runs its test in the production sandbox`);
      print.line(`  backplane dev ${typed}     builds and reloads it on every change`);
    });
}

async function ask(folder: string): Promise<{ id: string; type: ScaffoldType }> {
  const [{ group, select, text }, { idFrom }] = await Promise.all([
    import("@clack/prompts"),
    import("../../../authoring/scaffold.ts"),
  ]);
  const answers = await group(
    {
      id: () => text({ message: "Id of the plugin, such as acme.greeter", initialValue: idFrom(folder) }),
      type: () =>
        select<ScaffoldType>({
          message: "What is it mainly?",
          options: [
            { value: "domain", label: "domain", hint: "functions and subscriptions" },
            { value: "connector", label: "connector", hint: "brings data of a service in" },
            { value: "channel", label: "channel", hint: "messages in and out" },
            { value: "operator", label: "operator", hint: "conditions and actions for rules" },
          ],
        }),
    },
    {
      onCancel() {
        throw usageFailure("Nothing was written.");
      },
    },
  );
  return answers;
}
