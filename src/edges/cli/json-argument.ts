/** A JSON value from the command line, from a file (`@file`) or from standard input (`-`). */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { parseJsonText } from "../../base/json.ts";
import { BackplaneError } from "../../errors/error.ts";
import type { CliIo } from "./cli.ts";
import { usageFailure } from "./failure.ts";

/** `what` begins the sentence, for example `The parameters`. Error: a usage failure. */
export async function readJsonArgument(io: CliIo, given: string, what: string): Promise<unknown> {
  const text = await readTextArgument(io, given);
  try {
    return parseJsonText(text);
  } catch (error) {
    const reason = error instanceof BackplaneError ? String(error.details["reason"]) : "syntax";
    const help =
      given.startsWith("{") || given.startsWith("[")
        ? "Put the JSON into single quotes, so that the shell leaves its double quotes alone."
        : undefined;
    throw usageFailure(`${what} must be JSON; this is not valid JSON: ${reason}.`.replace(/\.\.$/, "."), help);
  }
}

/** `@file` and `-` read; `@@text` is `@text`; everything else is itself. */
export async function readTextArgument(io: CliIo, given: string): Promise<string> {
  if (given === "-") return readAll(io.stdin);
  if (given.startsWith("@@")) return given.slice(1);
  if (!given.startsWith("@")) return given;
  const file = resolve(io.cwd, given.slice(1));
  return readFile(file, "utf8").catch(() => {
    throw usageFailure(
      `There is no readable file ${file}.`,
      `A value that begins with @ names a file; write @@ for the character itself: '@${given}'.`,
    );
  });
}
