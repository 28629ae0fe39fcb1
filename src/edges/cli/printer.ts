/**
 * Writes for people or for machines. Text that came from a plugin or from elsewhere loses its control characters on the
 * way to a terminal; with `--json` exactly one JSON document goes to standard output.
 */
import { formatDiagnostic } from "../../authoring/diagnostic.ts";
import type { CliFailure } from "./failure.ts";

type Colour = "red" | "green" | "yellow" | "dim" | "bold";

const codes: Record<Colour, [number, number]> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  dim: [2, 22],
  bold: [1, 22],
};

interface Streams {
  env: Readonly<Record<string, string | undefined>>;
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown; isTTY?: boolean };
}

export interface Printer {
  /** A line for people. */
  line(text?: string): void;
  /** A line that is no result: progress, hints, warnings. Goes to standard error. */
  note(text: string): void;
  json(value: unknown): void;
  /** One JSON value a line. */
  jsonLine(value: unknown): void;
  table(rows: readonly (readonly string[])[], header?: readonly string[]): void;
  failure(failure: CliFailure, options: { json: boolean }): void;
  colour(colour: Colour, text: string): string;
}

export function createPrinter({ env, stdout, stderr }: Streams): Printer {
  const colourful = Boolean(env["FORCE_COLOR"]) || (Boolean(stdout.isTTY) && !env["NO_COLOR"]);
  const colour: Printer["colour"] = (name, text) => {
    const [on, off] = codes[name];
    return colourful ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  };
  return {
    line: (text = "") => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    json: (value) => void stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    jsonLine: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    table(rows, header) {
      const all = (header ? [header, ...rows] : rows).map((row) => row.map(printable));
      const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
      all.forEach((row, index) => {
        const text = row
          .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
          .join("  ");
        stdout.write(`${header && index === 0 ? colour("dim", text) : text}\n`);
      });
    },
    failure(failure, { json }) {
      const { code, message, diagnostics, help, details } = failure;
      if (json) {
        const error = {
          ...(code === undefined ? {} : { code }),
          message,
          ...(diagnostics.length > 0 ? { errors: diagnostics } : {}),
          ...(help === undefined ? {} : { help }),
          ...details,
        };
        stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
      }
      stderr.write(`backplane: ${printable(message)}\n`);
      for (const diagnostic of diagnostics) stderr.write(`  ${printable(formatDiagnostic(diagnostic))}\n`);
      if (help !== undefined) stderr.write(`  ${help}\n`);
      if (env["BACKPLANE_DEBUG"] === "1") stderr.write(`${stackOf(failure)}\n`);
    },
    colour,
  };
}

/** Shown safely on one line: what could move a cursor, colour or end the line is written as an escape. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    character === "\t"
      ? " "
      : character === "\n"
        ? "\\n"
        : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}
