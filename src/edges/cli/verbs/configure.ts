/** `configure ID key=value…`: changes settings and leaves the others, secrets among them, as they are. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { isObject } from "../../../base/json.ts";
import type { Cli } from "../cli.ts";
import { usageFailure } from "../failure.ts";
import { pluginPath } from "../hub-client.ts";
import { collect, type InstallationAnswer, printInstallation } from "../installation.ts";
import { readJsonArgument } from "../json-argument.ts";
import { configFrom, unset } from "../typed-config.ts";

interface ConfigureOptions {
  jsonFile?: string;
  unset?: string[];
  json?: boolean;
}

export function configureVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("configure")
    .description("show or change a plugin's settings")
    .argument("<id>", "the plugin's id")
    .argument("[settings...]", "key=value; key=@file reads a file, key=- standard input, @@ is an @; a key alone asks")
    .option("--json-file <file>", "settings as a JSON object, merged into the present ones")
    .option("--unset <keys>", "remove these settings", collect)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane configure acme.greeter greeting=Hello\n  backplane configure io.twilio.sms accountSid=AC123 authToken=@token.txt\n  backplane configure acme.import retries=3 tags=a,b options.dryRun=true",
    )
    .action(
      async (id: string, settings: string[], { jsonFile, unset: removed = [], json = false }: ConfigureOptions) => {
        const hub = cli.hub();
        const before = await hub.call<InstallationAnswer>(pluginPath(id));
        const schema = await schemaOf(cli, id);
        if (settings.length === 0 && jsonFile === undefined && removed.length === 0) {
          return json ? print.json({ config: before.config, schema }) : showSettings(cli, before, schema);
        }
        let current = unset(before.config, removed, schema);
        if (jsonFile !== undefined) {
          const merged = await readJsonArgument(io, `@${resolve(io.cwd, jsonFile)}`, `The settings in ${jsonFile}`);
          if (!isObject(merged)) throw usageFailure(`${jsonFile} holds no JSON object.`);
          current = { ...current, ...merged };
        }
        const config = await configFrom(await answered(cli, settings), { schema, current, io });
        const after = await hub.call<InstallationAnswer>(pluginPath(id, "/config"), { method: "PUT", body: config });
        if (json) return print.json(after);
        print.line(`Settings: ${JSON.stringify(after.config)}`);
        printInstallation(cli, after);
      },
    );
}

/** The hub keeps manifests in the catalog; a declaration has none there. */
async function schemaOf(cli: Cli, id: string): Promise<Record<string, unknown> | undefined> {
  const answer = await cli
    .hub()
    .call<{ manifest?: { configSchema?: unknown } }>(`/api/packages/${encodeURIComponent(id)}`)
    .catch(() => undefined);
  const schema = answer?.manifest?.configSchema;
  return isObject(schema) ? schema : undefined;
}

/** A key without a value is asked for, unseen, so that a secret stays out of the shell's history. */
async function answered({ io }: Cli, settings: readonly string[]): Promise<string[]> {
  const words: string[] = [];
  for (const word of settings) {
    if (word.includes("=")) words.push(word);
    else if (!io.stdin.isTTY || !io.stdout.isTTY) throw usageFailure(`'${word}' is not of the form key=value.`);
    else {
      const { isCancel, password } = await import("@clack/prompts");
      const value = await password({ message: word });
      if (isCancel(value)) throw usageFailure("Nothing was changed.");
      words.push(`${word}=${value.startsWith("@") ? `@${value}` : value}`);
    }
  }
  return words;
}

function showSettings(
  { print }: Cli,
  { config }: InstallationAnswer,
  schema: Record<string, unknown> | undefined,
): void {
  const properties = isObject(schema?.["properties"]) ? schema["properties"] : {};
  const required = Array.isArray(schema?.["required"]) ? schema["required"] : [];
  const keys = [...new Set([...Object.keys(properties), ...Object.keys(config)])];
  if (keys.length === 0) {
    print.line("It takes no settings.");
    return;
  }
  const rows = keys.map((key) => {
    const field = isObject(properties[key]) ? properties[key] : {};
    const type = field["format"] === "secret" ? "secret" : String(field["type"] ?? "any");
    const value = Object.hasOwn(config, key)
      ? JSON.stringify(config[key])
      : required.includes(key)
        ? "(missing)"
        : "(not set)";
    return [key, type, value, String(field["description"] ?? field["title"] ?? "")];
  });
  print.table(rows, ["KEY", "TYPE", "VALUE", "WHAT"]);
}
