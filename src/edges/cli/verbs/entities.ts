/** `entities`: rows of the unified data model; list, show, types, delete. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { readJsonArgument } from "../json-argument.ts";
import { listAll } from "../list.ts";
import { wholeNumber } from "../whole-number.ts";

type Row = Record<string, unknown> & { id: string; provenance?: { plugin: string | null; updatedAt: string } };

interface ListOptions {
  filter?: string;
  text?: string;
  order?: string;
  limit: number;
  deleted?: boolean;
  json?: boolean;
}

interface EntityTypeRow {
  type: string;
  count: number;
  countCapped: boolean;
  schema: unknown;
}

/** Fields that say best what a row is, the first that is there. */
const titles = "displayName name title subject body metric activityType from merchantName path recordedAt".split(" ");

export function entitiesVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  const entities = program.command("entities").description("rows of the data model that plugins share");

  entities
    .command("list", { isDefault: true })
    .description("list rows of a type, newest first")
    .argument("<type>", "for example contacts")
    .option("--filter <json>", 'such as \'{"company": "Acme"}\'; `@file` reads a file, `-` standard input')
    .option("--text <words>", "only rows with words that begin so")
    .option("--order <field>", "sort by this field; -FIELD downwards")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--deleted", "deleted rows too")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      '\nExamples:\n  backplane entities contacts --text ada\n  backplane entities tasks --filter \'{"status": "open", "dueAt": {"$lt": "2026-02-01"}}\' --order dueAt',
    )
    .action(async (type: string, { filter, text, order, limit, deleted = false, json = false }: ListOptions) => {
      const given = filter === undefined ? undefined : await readJsonArgument(io, filter, "The filter");
      const rows = await listAll<Row>(cli.hub(), path(type), "entities", {
        query: {
          filter: given === undefined ? undefined : JSON.stringify(given),
          text,
          orderBy: order,
          includeDeleted: deleted ? "true" : undefined,
        },
        limit,
      });
      if (json) return print.json({ entities: rows });
      if (rows.length === 0) return print.line("There are none.");
      print.table(
        rows.map((row) => [
          row.id,
          titleOf(row),
          String(row["source"] ?? ""),
          String(row["updatedAt"] ?? ""),
          row["deletedAt"] ? "deleted" : "",
        ]),
        ["ID", "WHAT", "SOURCE", "UPDATED", ""],
      );
    });

  entities
    .command("show")
    .description("show one row")
    .argument("<type>")
    .argument("<id>")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane entities show contacts 0199…")
    .action(async (type: string, id: string, { json = false }: { json?: boolean }) => {
      const row = await cli.hub().call<Row>(path(type, id));
      if (json) return print.json(row);
      const { provenance, ...fields } = row;
      print.table([
        ...Object.entries(fields).map(([name, value]) => [
          name,
          typeof value === "string" ? value : JSON.stringify(value),
        ]),
        ...(provenance ? [["written by", provenance.plugin ?? "nobody known"]] : []),
      ]);
    });

  entities
    .command("types")
    .description("list the types, with how many rows there are")
    .option("--json", "print JSON")
    .action(async ({ json = false }: { json?: boolean }) => {
      const answer = await cli.hub().call<{ types: EntityTypeRow[] }>("/api/entities");
      if (json) return print.json(answer);
      print.table(
        answer.types.map(({ type, count, countCapped, schema }) => [
          type,
          `${count}${countCapped ? " or more" : ""}`,
          schema === null ? "a plugin's own" : "",
        ]),
        ["TYPE", "ROWS", ""],
      );
    });

  entities
    .command("delete")
    .description("mark a row as deleted; it comes back when its source writes it again")
    .argument("<type>")
    .argument("<id>")
    .option("--json", "print JSON")
    .action(async (type: string, id: string, { json = false }: { json?: boolean }) => {
      await cli.hub().call(path(type, id), { method: "DELETE" });
      if (json) print.json({ id, deleted: true });
      else print.line(`${id} is deleted.`);
    });
}

const path = (...parts: string[]): string => `/api/entities/${parts.map(encodeURIComponent).join("/")}`;

function titleOf(row: Row): string {
  const found = titles.map((name) => row[name]).find((value) => typeof value === "string" && value !== "");
  return String(found ?? row["externalId"] ?? "").slice(0, 60);
}
