/** `events publish`, `events list` and `events tail`: the organisation's event log. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { followEvents, type LoggedEvent } from "../follow-events.ts";
import { readJsonArgument } from "../json-argument.ts";
import { printable } from "../printer.ts";
import { wholeNumber } from "../whole-number.ts";

export function eventsVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  const events = program.command("events").description("publish events and watch them pass");

  events
    .command("publish")
    .description("publish an event")
    .argument("<type>", "for example order.created")
    .argument("[data]", "JSON; `@file` reads a file, `-` standard input", "null")
    .option("--subject <subject>", "what it is about; events of one subject keep their order")
    .option("--id <id>", "the same id a second time is accepted once")
    .option("--json", "print JSON")
    .addHelpText("after", `\nExamples:\n  backplane events publish order.created '{"total": 12}' --subject order-7`)
    .action(
      async (
        type: string,
        text: string,
        { subject, id, json = false }: { subject?: string; id?: string; json?: boolean },
      ) => {
        const data = await readJsonArgument(io, text, "The data");
        const answer = await cli.hub().call<{ id: string }>("/api/events", {
          method: "POST",
          body: { type, data, ...(subject === undefined ? {} : { subject }), ...(id === undefined ? {} : { id }) },
        });
        if (json) print.json(answer);
        else print.line(answer.id);
      },
    );

  events
    .command("list")
    .description("print past events, oldest first")
    .option("--type <type>", "only this type, or a domain such as order.*")
    .option("--after <id>", "only what came after this event")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane events list --type 'order.*' --limit 10")
    .action(
      async ({
        type,
        after,
        limit,
        json = false,
      }: {
        type?: string;
        after?: string;
        limit: number;
        json?: boolean;
      }) => {
        const page = await cli.hub().call<{ events: LoggedEvent[]; nextCursor: string | null }>("/api/events", {
          query: { type, after, limit: Math.min(limit, 200) },
        });
        if (json) print.json(page);
        else for (const event of page.events) showEvent(cli, event);
      },
    );

  events
    .command("tail")
    .description("print events as they come, until stopped")
    .option("--type <type>", "only this type, or a domain such as order.*")
    .option("--after <id>", "begin after this event instead of now")
    .option("--count <count>", "stop after so many", wholeNumber)
    .option("--json", "print each event as one line of JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane events tail --type 'order.*'\n  backplane events tail --json | jq .type",
    )
    .action(
      async ({
        type,
        after,
        count = Number.POSITIVE_INFINITY,
        json = false,
      }: {
        type?: string;
        after?: string;
        count?: number;
        json?: boolean;
      }) => {
        let seen = 0;
        const onOpen = (): void => (json ? undefined : print.note("Watching. Ctrl-C stops."));
        for await (const event of followEvents(cli.hub(), { type, after, signal: io.signal, onOpen })) {
          if (json) print.jsonLine(event);
          else showEvent(cli, event);
          seen += 1;
          if (seen >= count) return;
        }
      },
    );
}

function showEvent({ print }: Cli, { time, type, subject, source, data }: LoggedEvent): void {
  const about = subject === undefined ? "" : ` (${printable(subject)})`;
  print.line(
    `${print.colour("dim", time)} ${print.colour("bold", printable(type))}${about} ${printable(JSON.stringify(data) ?? "null")} ${print.colour("dim", printable(source))}`,
  );
}
