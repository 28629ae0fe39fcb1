/** `logs ID`: the last lines of a plugin's log, oldest first; `--follow` goes on. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { followLogs, type LogLine, showLogLine } from "../follow-logs.ts";
import { pluginPath } from "../hub-client.ts";
import { listAll } from "../list.ts";
import { wholeNumber } from "../whole-number.ts";

interface LogsOptions {
  follow?: boolean;
  limit: number;
  level?: string;
  execution?: string;
  json?: boolean;
}

export function logsVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("logs")
    .description("print a plugin's log")
    .argument("<id>", "the plugin's id")
    .option("-f, --follow", "go on with new lines, until stopped")
    .option("--limit <count>", "at most so many past lines", wholeNumber, 50)
    .option("--level <level>", "only this level: debug, info, warn or error")
    .option("--execution <id>", "only lines of this execution")
    .option("--json", "print JSON; with --follow one line of JSON for each line")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane logs acme.greeter --follow\n  backplane logs acme.greeter --level error --json",
    )
    .action(async (id: string, { follow = false, limit, level, execution, json = false }: LogsOptions) => {
      const hub = cli.hub();
      const newest = await listAll<LogLine>(hub, pluginPath(id, "/logs"), "logs", {
        query: { level, execution },
        limit,
      });
      const lines = newest.toReversed();
      const show = (line: LogLine): void => (json ? print.jsonLine(line) : showLogLine(print, line));
      if (json && !follow) return print.json({ logs: lines });
      for (const line of lines) show(line);
      if (!follow) return;
      for await (const line of followLogs(hub, id, {
        after: lines.at(-1)?.seq ?? 0,
        level,
        execution,
        signal: io.signal,
        wait: (ms) => sleep(ms, undefined, { signal: io.signal }),
      }))
        show(line);
    });
}
