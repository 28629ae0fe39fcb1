/** `dead-letters`: deliveries that were given up, with the reason, and trying them again. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { usageFailure } from "../failure.ts";
import { listAll } from "../list.ts";
import { wholeNumber } from "../whole-number.ts";

interface DeadLetter {
  id: string;
  consumer: string;
  kind: string;
  attempts: number;
  error: { code: string; message?: string };
}

interface Filter {
  consumer?: string;
  code?: string;
  json?: boolean;
}

export function deadLettersVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  const deadLetters = program.command("dead-letters").description("deliveries that were given up");

  deadLetters
    .command("list", { isDefault: true })
    .description("list them, newest first")
    .option("--consumer <name>", "only of this consumer")
    .option("--code <code>", "only with this error code")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane dead-letters\n  backplane dead-letters list --code plugin_error --json",
    )
    .action(async ({ consumer, code, limit, json = false }: Filter & { limit: number }) => {
      const letters = await listAll<DeadLetter>(cli.hub(), "/api/dead-letters", "deadLetters", {
        query: { consumer, code },
        limit,
      });
      if (json) return print.json({ deadLetters: letters });
      if (letters.length === 0) return print.line("There are none.");
      print.table(
        letters.map((letter) => [
          letter.id,
          letter.consumer,
          letter.kind,
          String(letter.attempts),
          letter.error.code,
          letter.error.message ?? "",
        ]),
        ["ID", "CONSUMER", "KIND", "TRIES", "CODE", "WHY"],
      );
    });

  deadLetters
    .command("retry")
    .description("try again: one by id, or many")
    .argument("[id]", "the dead letter's id")
    .option("--all", "all of them")
    .option("--consumer <name>", "all of this consumer")
    .option("--code <code>", "all with this error code")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane dead-letters retry 42\n  backplane dead-letters retry --code egress_failed",
    )
    .action(
      async (id: string | undefined, { all = false, consumer, code, json = false }: Filter & { all?: boolean }) => {
        const many = all || consumer !== undefined || code !== undefined;
        if ((id !== undefined) === many)
          throw usageFailure("Name one dead letter, or say --all, --consumer or --code.");
        if (id !== undefined) {
          const answer = await cli
            .hub()
            .call<{ id: string }>(`/api/dead-letters/${encodeURIComponent(id)}/retry`, { method: "POST" });
          return json ? print.json(answer) : print.line(`${id} is tried again.`);
        }
        const body = { ...(consumer === undefined ? {} : { consumer }), ...(code === undefined ? {} : { code }) };
        const answer = await cli.hub().call<{ retried: number }>("/api/dead-letters/retry", { method: "POST", body });
        return json ? print.json(answer) : print.line(`${answer.retried} are tried again.`);
      },
    );
}
