/** `sync ID`: a connector's syncs: start one and watch it, look at them, cancel, pause and resume. */
import type { Command } from "commander";
import { sleep } from "../../../base/deferred.ts";
import type { Cli } from "../cli.ts";
import { CliFailure } from "../failure.ts";
import { listAll } from "../list.ts";
import { wholeNumber } from "../whole-number.ts";

interface SyncRun {
  id: string;
  status: "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";
  full: boolean;
  trigger: string;
  counts: Record<"items" | "created" | "updated" | "deleted" | "unchanged" | "rejected", number>;
  rejections: { id: string | null; type: string; reason: string }[];
  estimate: { total: number; share: number; secondsLeft: number | null } | null;
  error: { code: string; message: string } | null;
  resumeAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
}

interface Planned {
  schedule: string | null;
  nextAt: string | null;
  fault?: string;
}

interface State {
  plugin: string;
  status: string;
  statusReason: string | null;
  paused: boolean;
  sync: Planned;
  fullSync: Planned;
  position: object;
  run: SyncRun | null;
  lastRun: SyncRun | null;
  realtime: { state: string; expiresAt?: string; error?: { message: string } } | null;
}

interface SyncOptions {
  full?: boolean;
  type?: string[];
  follow?: boolean;
  json?: boolean;
}

const pollMs = 500;

export function syncVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  const path = (id: string, rest: string): string => `/api/connectors/${encodeURIComponent(id)}/${rest}`;
  const sync = program.command("sync").description("sync a connector, and look at its syncs");

  sync
    .command("start", { isDefault: true })
    .description("sync now")
    .argument("<id>", "the connector's plugin id")
    .option("--full", "everything again, and delete what is gone at the service")
    .option("--type <kind...>", "only these kinds of item")
    .option("--follow", "show how it goes until it has ended; its failure is this command's failure")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane sync start com.microsoft.graph --follow\n  backplane sync com.plaid --full\n  backplane sync status com.plaid",
    )
    .action(async (id: string, { full = false, type, follow = false, json = false }: SyncOptions) => {
      const { runId } = await cli.hub().call<{ runId: string }>(path(id, "sync"), {
        method: "POST",
        body: { ...(full ? { full } : {}), ...(type === undefined ? {} : { types: type }) },
      });
      if (!follow) return json ? print.json({ runId }) : print.line(`Sync ${runId} is queued.`);
      const run = await followed(cli, path(id, `runs/${runId}`), json);
      if (json) print.json(run);
      else print.line(`${run.status}: ${countsOf(run)}`);
      if (run.status !== "succeeded")
        throw new CliFailure(run.error?.message ?? `The sync ended ${run.status}.`, {
          code: run.error?.code ?? run.status,
        });
    });

  sync
    .command("status")
    .description("where it stands, what runs, and when it is due; without an id: all connectors")
    .argument("[id]", "the connector's plugin id")
    .option("--json", "print JSON")
    .action(async (id: string | undefined, { json = false }: SyncOptions) => {
      if (id === undefined) {
        const connectors = await listAll<State>(cli.hub(), "/api/connectors", "connectors");
        if (json) return print.json({ connectors });
        if (connectors.length === 0) return print.line("There are none.");
        return print.table(
          connectors.map((state) => [
            state.plugin,
            doing(state),
            state.sync.schedule ?? "by hand",
            state.sync.nextAt ?? "",
            lastOf(state),
          ]),
          ["ID", "NOW", "SCHEDULE", "NEXT", "LAST"],
        );
      }
      const state = await cli.hub().call<State>(path(id, "state"));
      if (json) return print.json(state);
      print.table([
        ["plugin", state.plugin],
        ["now", doing(state)],
        ["last", lastOf(state)],
        ...rejectedOf(state).map((line) => ["rejected", line]),
        ["schedule", planOf(state.sync)],
        ["full", planOf(state.fullSync)],
        ["position", JSON.stringify(state.position)],
        ...(state.realtime === null
          ? []
          : [
              [
                "pushes",
                [state.realtime.state, state.realtime.expiresAt, state.realtime.error?.message]
                  .filter(Boolean)
                  .join(", "),
              ],
            ]),
      ]);
    });

  sync
    .command("runs")
    .description("list its syncs, newest first")
    .argument("<id>", "the connector's plugin id")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--json", "print JSON")
    .action(async (id: string, { limit, json = false }: SyncOptions & { limit: number }) => {
      const runs = await listAll<SyncRun>(cli.hub(), path(id, "runs"), "runs", { limit });
      if (json) return print.json({ runs });
      if (runs.length === 0) return print.line("None ran yet.");
      print.table(
        runs.map((run) => [
          run.id,
          run.status,
          run.full ? "full" : "",
          run.trigger,
          run.startedAt ?? "",
          countsOf(run),
          run.error?.code ?? "",
        ]),
        ["ID", "STATUS", "", "BY", "STARTED", "WHAT", "ERROR"],
      );
    });

  sync
    .command("cancel")
    .description("cancel what runs, or the run named; what it has stored stays")
    .argument("<id>", "the connector's plugin id")
    .argument("[run]", "the run's id")
    .option("--json", "print JSON")
    .action(async (id: string, run: string | undefined, { json = false }: SyncOptions) => {
      const runId = run ?? (await cli.hub().call<State>(path(id, "state"))).run?.id;
      if (runId === undefined) throw new CliFailure("Nothing runs.", { code: "not_found" });
      const ended = await cli
        .hub()
        .call<SyncRun>(path(id, `runs/${encodeURIComponent(runId)}/cancel`), { method: "POST" });
      if (json) print.json(ended);
      else print.line(`Sync ${runId} is cancelled.`);
    });

  for (const [verb, description, done] of [
    ["pause", "hold its syncs; what runs stops after its batch", "is paused"],
    ["resume", "let its syncs go on", "goes on"],
  ] as const)
    sync
      .command(verb)
      .description(description)
      .argument("<id>", "the connector's plugin id")
      .option("--json", "print JSON")
      .action(async (id: string, { json = false }: SyncOptions) => {
        const state = await cli.hub().call<State>(path(id, verb), { method: "POST" });
        if (json) print.json(state);
        else print.line(`${id} ${done}.`);
      });
}

async function followed(cli: Cli, path: string, quiet: boolean): Promise<SyncRun> {
  let shown = "";
  for (;;) {
    const run = await cli.hub().call<SyncRun>(path);
    if (run.endedAt !== null) return run;
    const line = progressOf(run);
    if (!quiet && line !== shown) cli.print.line(line);
    shown = line;
    await sleep(pollMs, cli.io.signal);
    if (cli.io.signal.aborted) throw new CliFailure("Stopped watching; the sync goes on.", { code: "stopped" });
  }
}

function progressOf(run: SyncRun): string {
  const { status, estimate, resumeAt, error } = run;
  if (status === "waiting") return `waiting until ${resumeAt ?? "it is resumed"}: ${error?.message ?? ""}`;
  const left = estimate === null ? "" : ` of ${estimate.total} (${Math.floor(estimate.share * 100)} %)`;
  return `${status}: ${run.counts.items} items${left}`;
}

function countsOf({ counts }: SyncRun): string {
  const named = (["created", "updated", "deleted", "unchanged", "rejected"] as const).filter(
    (name) => counts[name] > 0,
  );
  return [`${counts.items} items`, ...named.map((name) => `${counts[name]} ${name}`)].join(", ");
}

/** A plugin that is not active syncs nothing, however much it looks as if it only waited. */
function doing({ plugin, status, statusReason, paused, run }: State): string {
  if (status === "active") return paused ? "paused" : run === null ? "idle" : progressOf(run);
  const hint =
    status === "pending_config" ? `; see \`backplane grants ${plugin}\`, then \`backplane activate ${plugin}\`` : "";
  return `not active (${status}${statusReason === null ? "" : `: ${statusReason}`})${hint}`;
}

const lastOf = ({ lastRun }: State): string =>
  lastRun === null
    ? "never"
    : `${lastRun.status} ${lastRun.endedAt ?? ""}${lastRun.counts.rejected > 0 ? `, ${lastRun.counts.rejected} rejected` : ""}${lastRun.error ? `: ${lastRun.error.message}` : ""}`;

const shownRejections = 5;

/** Of the run that is under way, or else of the last one. */
function rejectedOf({ run, lastRun }: State): string[] {
  const { counts, rejections } = run ?? lastRun ?? { counts: { rejected: 0 }, rejections: [] };
  const shown = rejections.slice(-shownRejections).map(({ id, type, reason }) => `${type} ${id ?? "?"}: ${reason}`);
  return counts.rejected > shown.length && shown.length > 0
    ? [...shown, `${counts.rejected} in all; the API names the last 50`]
    : shown;
}

const planOf = ({ schedule, nextAt, fault }: Planned): string =>
  schedule === null
    ? "by hand"
    : `${schedule}${fault ? `, which is no schedule: ${fault}` : nextAt === null ? "" : `, next ${nextAt}`}`;
