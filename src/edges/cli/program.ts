/** The command: its verbs, its help, and how a run ends. 0 is success, 1 a failure, 2 a wrong use of the command. */
import { Command, CommanderError } from "commander";
import { type Cli, type CliDependencies, type CliIo, createCli } from "./cli.ts";
import { exitCodes, toFailure } from "./failure.ts";
import { configureVerb } from "./verbs/configure.ts";
import { connectVerb } from "./verbs/connect.ts";
import { createPluginVerb } from "./verbs/create-plugin.ts";
import { deadLettersVerb } from "./verbs/dead-letters.ts";
import { devVerb } from "./verbs/dev.ts";
import { doctorVerb } from "./verbs/doctor.ts";
import { entitiesVerb } from "./verbs/entities.ts";
import { eventsVerb } from "./verbs/events.ts";
import { executionsVerb } from "./verbs/executions.ts";
import { grantsVerb } from "./verbs/grants.ts";
import { installVerb } from "./verbs/install.ts";
import { invokeVerb } from "./verbs/invoke.ts";
import { lifecycleVerbs } from "./verbs/lifecycle.ts";
import { logsVerb } from "./verbs/logs.ts";
import { messagesVerb } from "./verbs/messages.ts";
import { packVerb } from "./verbs/pack.ts";
import { pluginsVerb } from "./verbs/plugins.ts";
import { publishVerb } from "./verbs/publish.ts";
import { rulesVerb } from "./verbs/rules.ts";
import { runTestsVerb } from "./verbs/run-tests.ts";
import { startVerb } from "./verbs/start.ts";
import { syncVerb } from "./verbs/sync.ts";
import { validateVerb } from "./verbs/validate.ts";

export type Verb = (program: Command, cli: Cli) => void;

const groups: Record<string, readonly Verb[]> = {
  "The hub:": [startVerb, doctorVerb],
  "Writing plugins:": [createPluginVerb, validateVerb, runTestsVerb, devVerb, packVerb, publishVerb],
  "Running plugins:": [
    installVerb,
    pluginsVerb,
    configureVerb,
    grantsVerb,
    connectVerb,
    syncVerb,
    lifecycleVerbs,
    invokeVerb,
  ],
  "Automation:": [rulesVerb],
  "What happens:": [entitiesVerb, eventsVerb, messagesVerb, logsVerb, executionsVerb, deadLettersVerb],
};

const environment = `
Environment:
  BACKPLANE_URL    the hub (default: the one running on this machine, else http://127.0.0.1:7400)
  BACKPLANE_TOKEN  an API key, or the hub admin's token (default: the local hub's, from its data folder)
  BACKPLANE_ORG    the organisation, for the hub admin (default: demo)
  BACKPLANE_DATA   the hub's data folder (default: .backplane)

Examples:
  backplane start
  backplane create-plugin greeter && backplane test greeter && backplane dev greeter
  backplane invoke acme.greeter hello '{"who": "Ada"}'`;

export function createProgram(cli: Cli): Command {
  const program = new Command("backplane")
    .description("Runs Backplane, the plugin platform, and the plugins on it.")
    .version(cli.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [verb]", "show help for a verb")
    .configureHelp({ sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => void cli.io.stdout.write(text),
      writeErr: (text) => void cli.io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "backplane: ")),
    })
    .showHelpAfterError("Try `backplane help` or `backplane VERB --help`.")
    .exitOverride()
    .addHelpText("after", environment);
  for (const [heading, verbs] of Object.entries(groups)) {
    program.commandsGroup(heading);
    for (const verb of verbs) verb(program, cli);
  }
  return program;
}

/** Runs one command line, without the program's name, and gives its exit code. Never throws. */
export async function runCli(args: readonly string[], io: CliIo, dependencies: CliDependencies): Promise<number> {
  const cli = createCli(io, dependencies);
  try {
    await createProgram(cli).parseAsync([...args], { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    // Commander has written its sentence already. Help and the version that were asked for are no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const failure = toFailure(error);
    if (!failure.reported) cli.print.failure(failure, { json: args.includes("--json") });
    return failure.exitCode;
  }
}
