/** `invoke ID FUNCTION JSON`: calls a function of a plugin and prints what it answers. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { pluginPath } from "../hub-client.ts";
import { readJsonArgument } from "../json-argument.ts";

export function invokeVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  program
    .command("invoke")
    .description("call a function of a plugin")
    .argument("<id>", "the plugin's id")
    .argument("<function>", "the function's name")
    .argument("[parameters]", "JSON object; `@file` reads a file, `-` standard input", "{}")
    .option("--async", "do not wait: print the execution's id")
    .option("--session <id>", "session the call belongs to")
    .option("--json", "print the whole answer")
    .addHelpText(
      "after",
      `\nExamples:\n  backplane invoke acme.greeter hello '{"who": "Ada"}'\n  backplane invoke acme.import run @big.json --async`,
    )
    .action(
      async (
        id: string,
        called: string,
        text: string,
        options: { async?: boolean; session?: string; json?: boolean },
      ) => {
        const parameters = await readJsonArgument(cli.io, text, "The parameters");
        const answer = await cli.hub().call<{ result?: unknown; executionId: string }>(pluginPath(id), {
          method: "POST",
          body: {
            function: called,
            parameters,
            ...(options.async ? { mode: "async" } : {}),
            ...(options.session === undefined ? {} : { sessionId: options.session }),
          },
        });
        if (options.json) print.json(answer);
        else if (options.async) print.line(answer.executionId);
        else print.json(answer.result);
        if (options.async && !options.json) print.note(`Look with: backplane executions ${answer.executionId}`);
      },
    );
}
