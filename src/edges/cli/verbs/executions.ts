/** `executions`: what ran and how it ended; with an id, all about one. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { CliFailure } from "../failure.ts";
import { listAll } from "../list.ts";
import { printableLines } from "../printer.ts";
import { wholeNumber } from "../whole-number.ts";

interface Execution {
  id: string;
  plugin: string;
  contribution: string;
  status: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  result?: unknown;
  error?: { code: string; message: string; stack?: string };
  progress?: unknown;
  traceId: string;
  cpuMs: number;
  wallMs: number;
  startedAt: string | null;
  endedAt: string | null;
}

interface ExecutionsOptions {
  plugin?: string;
  status?: string;
  trace?: string;
  limit: number;
  cancel?: boolean;
  wait?: boolean;
  json?: boolean;
}

export function executionsVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  program
    .command("executions")
    .description("list what ran, or show one execution")
    .argument("[id]", "show this one")
    .option("--plugin <id>", "only of this plugin")
    .option("--status <status>", "only queued, running, succeeded, failed or cancelled ones")
    .option("--trace <id>", "only under this trace id")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--cancel", "cancel the execution ID")
    .option("--wait", "wait until the execution ID has ended; its failure is this command's failure")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane executions --plugin acme.greeter --status failed\n  backplane executions 0199… --wait",
    )
    .action(
      async (
        id: string | undefined,
        { plugin, status, trace, limit, cancel = false, wait = false, json = false }: ExecutionsOptions,
      ) => {
        const hub = cli.hub();
        if (id !== undefined) {
          const path = `/api/executions/${encodeURIComponent(id)}`;
          const first = await hub.call<Execution>(cancel ? `${path}/cancel` : path, {
            method: cancel ? "POST" : "GET",
          });
          const execution = wait ? await ended(cli, path, first) : first;
          if (json) print.json(execution);
          else showOne(cli, execution);
          if (wait && execution.status !== "succeeded")
            throw new CliFailure(`The execution ended ${execution.status}.`, {
              code: execution.error?.code ?? execution.status,
            });
          return;
        }
        const executions = await listAll<Execution>(hub, "/api/executions", "executions", {
          query: { plugin, status, traceId: trace },
          limit,
        });
        if (json) return print.json({ executions });
        if (executions.length === 0) return print.line("Nothing ran yet.");
        print.table(
          executions.map((entry) => [
            entry.id,
            entry.plugin,
            entry.contribution,
            entry.status,
            `${Math.round(entry.wallMs)} ms`,
            `${Math.round(entry.cpuMs)} ms`,
            entry.error?.code ?? "",
          ]),
          ["ID", "PLUGIN", "WHAT", "STATUS", "TIME", "CPU", "ERROR"],
        );
      },
    );
}

async function ended(cli: Cli, path: string, first: Execution): Promise<Execution> {
  let execution = first;
  while (execution.status === "queued" || execution.status === "running") {
    await sleep(250, undefined, { signal: cli.io.signal }).catch(() => {
      throw new CliFailure("Stopped waiting; the execution goes on.", { code: "stopped" });
    });
    execution = await cli.hub().call<Execution>(path);
  }
  return execution;
}

function showOne({ print }: Cli, execution: Execution): void {
  const { error, result, progress, ...rest } = execution;
  print.table([
    ["id", rest.id],
    ["plugin", rest.plugin],
    ["what", rest.contribution],
    ["status", rest.status],
    ["started", rest.startedAt ?? "not yet"],
    ["ended", rest.endedAt ?? "not yet"],
    ["time", `${Math.round(rest.wallMs)} ms, of it ${Math.round(rest.cpuMs)} ms CPU`],
    ["trace", rest.traceId],
    ...(progress === undefined ? [] : [["progress", JSON.stringify(progress)]]),
    ...(result === undefined ? [] : [["result", JSON.stringify(result)]]),
    ...(error === undefined ? [] : [["error", `${error.code}: ${error.message}`]]),
  ]);
  if (error?.stack !== undefined) print.line(printableLines(error.stack));
}
