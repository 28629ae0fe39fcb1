/** `rules …`: check and apply rule files, list and switch rules, replay drafts over past events, and see what runs did. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { sleep } from "../../../base/deferred.ts";
import type { Cli } from "../cli.ts";
import { CliFailure, usageFailure } from "../failure.ts";
import type { HubClient } from "../hub-client.ts";
import { listAll } from "../list.ts";
import { printable, printableLines } from "../printer.ts";
import { wholeNumber } from "../whole-number.ts";

interface Rule {
  id: string;
  name: string;
  version: number;
  enabled: boolean;
  state: string;
  stateReason: string | null;
  source: string;
  hooks: { name: string; path: string }[];
  nextRunAt: string | null;
}

interface Run {
  id: string;
  rule: string;
  status: string;
  reason: string | null;
  explanation: string | null;
  trigger: string;
  createdAt: string;
  stepsDone: number;
  stepsTotal: number;
  failedMessages: number;
}

interface Step {
  step: string;
  operator: string;
  status: string;
  attempts: number;
  error: { message: string } | null;
  message: { messageId: string | null; status: string; error: string | null } | null;
}

interface RunDetail extends Run {
  trace: unknown;
  error: { code: string; message: string } | null;
  steps: Step[];
}

interface Counts {
  events: number;
  matched: number;
  notMet: number;
  throttled: number;
  failed: number;
  wouldRun: number;
}

interface Replay {
  id: string;
  rule: string | null;
  status: string;
  progress: { events: number; eventsInRange: number } | null;
  result: {
    draft: Counts;
    live: Counts | null;
    difference: { onlyDraft: number; onlyLive: number; changed: number; same: number } | null;
    eventsPerSecond: number;
    note?: string;
  } | null;
  error: { code: string; message: string } | null;
  endedAt: string | null;
}

interface Fault {
  message: string;
  line: number;
  column: number;
  path: string;
}

interface RuleFile {
  /** As the user would write it. */
  file: string;
  source: string;
}

const ruleFile = /\.(ya?ml)$/;
/** Parts of paths inside a folder that hold no rules of the user's. */
const notOurs = (name: string): boolean => name === "node_modules" || name.startsWith(".");

export function rulesVerb(program: Command, cli: Cli): void {
  const rules = program.command("rules").description("automation rules: check, apply, replay, and see what they did");
  for (const add of [lint, apply, list, show, switches, remove, replay, runs]) add(rules, cli);
}

function lint(rules: Command, { io, print, hub }: Cli): void {
  rules
    .command("lint")
    .description("check rule files against what the hub's plugins offer")
    .argument("<path...>", "files, or folders with .yaml and .yml files")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane rules lint vip.yaml\n  backplane rules lint rules --json")
    .action(async (paths: string[], { json = false }: { json?: boolean }) => {
      const files = await readRules(io.cwd, paths);
      const found: { file: string; valid: boolean; faults: Fault[] }[] = [];
      for (const { file, source } of files) {
        const answer = await hub().call<{ valid: boolean; faults: Fault[] }>("/api/rules/validate", {
          method: "POST",
          body: { source },
        });
        found.push({ file, ...answer });
      }
      const faults = found.flatMap(({ faults: of }) => of).length;
      if (json) print.json({ valid: faults === 0, files: found });
      else {
        for (const { file, faults: of } of found)
          for (const { line, column, message } of of) print.line(printable(`${file}:${line}:${column} ${message}`));
        print.line(
          faults === 0
            ? `${counted(files.length, "rule")} ${files.length === 1 ? "is" : "are"} ${print.colour("green", "valid")}.`
            : `${counted(faults, "fault")} in ${counted(found.filter(({ valid }) => !valid).length, "file")}.`,
        );
      }
      if (faults > 0) throw new CliFailure("The rules have faults.", { code: "invalid_rule", reported: true });
    });
}

function apply(rules: Command, { io, print, hub }: Cli): void {
  rules
    .command("apply")
    .description("save rule files, all or none; doing it again changes nothing")
    .argument("<path...>", "files, or folders with .yaml and .yml files")
    .option("--reason <text>", "kept with the versions")
    .option("--json", "print JSON")
    .addHelpText("after", '\nExamples:\n  backplane rules apply rules --reason "quieter at night"')
    .action(async (paths: string[], { reason, json = false }: { reason?: string; json?: boolean }) => {
      const files = await readRules(io.cwd, paths);
      const { applied } = await hub()
        .call<{ applied: { file: string; id: string; version: number; outcome: string }[] }>("/api/rules/apply", {
          method: "POST",
          body: { files, ...(reason === undefined ? {} : { reason }) },
        })
        .catch((error: unknown) => {
          throw withPlaces(error);
        });
      if (json) return print.json({ applied });
      for (const { id, version, outcome } of applied) print.line(`${id} ${outcome} (version ${version})`);
    });
}

function list(rules: Command, { print, hub }: Cli): void {
  rules
    .command("list", { isDefault: true })
    .description("list rules, by id")
    .option("--state <state>", "enabled, disabled or broken")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane rules\n  backplane rules list --state broken")
    .action(async ({ state, json = false }: { state?: string; json?: boolean }) => {
      const found = await listAll<Rule>(hub(), "/api/rules", "rules", { query: { state } });
      if (json) return print.json({ rules: found });
      if (found.length === 0) return print.line("There are none.");
      print.table(
        found.map((rule) => [rule.id, rule.name, `v${rule.version}`, rule.state, rule.stateReason ?? ""]),
        ["ID", "NAME", "VERSION", "STATE", "WHY"],
      );
    });
}

function show(rules: Command, { print, hub }: Cli): void {
  rules
    .command("show")
    .description("print a rule's source, or everything about it")
    .argument("<id>", "the rule's id")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane rules show vip-follow-up > vip.yaml")
    .action(async (id: string, { json = false }: { json?: boolean }) => {
      const rule = await hub().call<Rule>(rulePath(id));
      if (json) return print.json(rule);
      print.note(
        `${rule.name}, version ${rule.version}, ${rule.state}${rule.stateReason ? `: ${rule.stateReason}` : ""}`,
      );
      if (rule.nextRunAt) print.note(`Runs next at ${rule.nextRunAt}.`);
      for (const hook of rule.hooks) print.note(`Hook ${hook.name}: ${hub().address.url}${hook.path}`);
      print.line(printableLines(rule.source.replace(/\n$/, "")));
    });
}

function switches(rules: Command, { print, hub }: Cli): void {
  for (const verb of ["enable", "disable"] as const)
    rules
      .command(verb)
      .description(verb === "enable" ? "let a rule be set off" : "let nothing set a rule off; open runs go on")
      .argument("<id>", "the rule's id")
      .option("--json", "print JSON")
      .addHelpText("after", `\nExamples:\n  backplane rules ${verb} vip-follow-up`)
      .action(async (id: string, { json = false }: { json?: boolean }) => {
        const rule = await hub().call<Rule>(rulePath(id, `/${verb}`), { method: "POST", body: {} });
        if (json) print.json(rule);
        else print.line(`${rule.id} is ${rule.state}.`);
      });
}

function remove(rules: Command, { print, hub }: Cli): void {
  rules
    .command("delete")
    .description("delete a rule with its versions; what it did stays on record")
    .argument("<id>", "the rule's id")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane rules delete vip-follow-up")
    .action(async (id: string, { json = false }: { json?: boolean }) => {
      await hub().call(rulePath(id), { method: "DELETE" });
      if (json) print.json({ deleted: id });
      else print.line(`${id} is deleted.`);
    });
}

function replay(rules: Command, { io, print, hub }: Cli): void {
  rules
    .command("replay")
    .description("try a rule file over past events, beside the live rule; nothing is executed")
    .argument("<file>", "the draft")
    .option("--days <days>", "events of the last so many days", days, 7)
    .option("--rule <id>", "compare with this live rule; by default the one of the draft's id")
    .option("--type <type>", "only events of this type, or a domain such as comms.*")
    .option("--show <count>", "print so many events about which draft and live rule differ", wholeNumber, 10)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane rules replay vip.yaml --days 30")
    .action(
      async (path: string, options: { days: number; rule?: string; type?: string; show: number; json?: boolean }) => {
        const [draft, ...more] = await readRules(io.cwd, [path]);
        if (!draft || more.length > 0) throw usageFailure(`${path} is a folder; name one file.`);
        const { days: last, rule, type, json = false } = options;
        const started = await hub()
          .call<Replay>("/api/rules/replay", {
            method: "POST",
            body: {
              source: draft.source,
              days: last,
              ...(rule === undefined ? {} : { rule }),
              ...(type === undefined ? {} : { type }),
            },
          })
          .catch((error: unknown) => {
            throw withPlaces(error, draft.file);
          });
        const ended = await follow(hub(), started, {
          signal: io.signal,
          tell: (text) => (json ? undefined : print.note(text)),
        });
        if (ended.status !== "succeeded")
          throw new CliFailure(`The replay ${ended.status}${ended.error ? `: ${ended.error.message}` : "."}`, {
            code: ended.error?.code ?? ended.status,
          });
        const changes = ended.result?.difference
          ? await listAll<{ change: string | null; eventType: string; eventId: string; eventTime: string }>(
              hub(),
              `/api/rules/replays/${ended.id}/decisions`,
              "decisions",
              { limit: 10_000 },
            )
          : [];
        const different = changes.filter(({ change }) => change !== null).slice(0, options.show);
        if (json) return print.json({ ...ended, changes: different });
        printReplay({ print } as Cli, ended);
        for (const { change, eventType, eventId, eventTime } of different)
          print.line(
            printable(`  ${String(change).replace("_", " ").padEnd(10)}  ${eventTime}  ${eventType}  ${eventId}`),
          );
      },
    );
}

function printReplay({ print }: Pick<Cli, "print">, { result, rule }: Replay): void {
  if (!result) return;
  const row = (name: string, counts: Counts): string[] => [
    name,
    ...[counts.events, counts.matched, counts.notMet, counts.throttled, counts.failed, counts.wouldRun].map(String),
  ];
  print.table(
    [row("draft", result.draft), ...(result.live ? [row(rule ?? "live", result.live)] : [])],
    ["", "EVENTS", "MATCHED", "NOT MET", "THROTTLED", "FAILED", "WOULD RUN"],
  );
  if (result.note !== undefined) print.line(result.note);
  if (result.difference) {
    const { onlyDraft, onlyLive, changed, same } = result.difference;
    print.line(
      `Only the draft: ${onlyDraft}. Only the live rule: ${onlyLive}. Otherwise: ${changed}. The same: ${same}.`,
    );
  }
  print.line(`${result.eventsPerSecond} events a second.`);
}

async function follow(
  hub: HubClient,
  started: Replay,
  { signal, tell }: { signal: AbortSignal; tell: (text: string) => void },
): Promise<Replay> {
  let now = started;
  let told = -1;
  for (let ms = 50; now.endedAt === null; ms = Math.min(1_000, ms * 1.5)) {
    await sleep(ms, signal);
    if (signal.aborted) {
      await hub.call(`/api/rules/replays/${started.id}/cancel`, { method: "POST", body: {} }).catch(() => {});
      throw new CliFailure("Stopped; the replay is cancelled.", { code: "stopped" });
    }
    now = await hub.call<Replay>(`/api/rules/replays/${started.id}`);
    if (now.progress && now.progress.events !== told) {
      told = now.progress.events;
      tell(`${told} events…`);
    }
  }
  return now;
}

function runs(rules: Command, { print, hub }: Cli): void {
  rules
    .command("runs")
    .description("what rules did, newest first; with a run's id everything about it")
    .argument("[id]", "a run's id")
    .option("--rule <id>", "only of this rule")
    .option("--status <status>", "queued, running, succeeded, failed, cancelled or skipped")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--cancel", "cancel the run")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane rules runs --status failed\n  backplane rules runs RUN --json")
    .action(
      async (
        id: string | undefined,
        options: { rule?: string; status?: string; limit: number; cancel?: boolean; json?: boolean },
      ) => {
        const { rule, status, limit, cancel = false, json = false } = options;
        if (id !== undefined) {
          const path = `/api/rules/runs/${encodeURIComponent(id)}`;
          const run = await (cancel
            ? hub().call<RunDetail>(`${path}/cancel`, { method: "POST", body: {} })
            : hub().call<RunDetail>(path));
          return json ? print.json(run) : printRun({ print }, run);
        }
        if (cancel) throw usageFailure("Name the run to cancel.");
        const found = await listAll<Run>(hub(), "/api/rules/runs", "runs", { query: { rule, status }, limit });
        if (json) return print.json({ runs: found });
        if (found.length === 0) return print.line("There are none.");
        print.table(
          found.map((run) => [
            run.id,
            run.createdAt,
            run.rule,
            run.trigger,
            run.status,
            `${run.stepsDone}/${run.stepsTotal}`,
            run.explanation ?? (run.failedMessages > 0 ? `${counted(run.failedMessages, "message")} failed` : ""),
          ]),
          ["ID", "AT", "RULE", "TRIGGER", "STATUS", "STEPS", "WHY"],
        );
      },
    );
}

function printRun({ print }: Pick<Cli, "print">, run: RunDetail): void {
  print.line(printable(`${run.rule} ${run.status}${run.explanation ? `: ${run.explanation}` : ""}`));
  if (run.steps.length > 0)
    print.table(
      run.steps.map((step) => [
        step.step,
        step.operator,
        step.status,
        `${step.attempts}×`,
        step.message?.status ?? "",
        step.error?.message ?? step.message?.error ?? "",
      ]),
      ["STEP", "OPERATOR", "STATUS", "TRIES", "MESSAGE", "WHY"],
    );
  for (const { step, message } of run.steps)
    if (message?.messageId) print.line(printable(`Step ${step}: backplane messages show ${message.messageId}`));
  print.line(printableLines(JSON.stringify(run.trace, null, 2) ?? ""));
}

/** Errors: a usage failure for a path that is none or holds no rule. */
async function readRules(cwd: string, paths: readonly string[]): Promise<RuleFile[]> {
  const files: string[] = [];
  for (const path of paths) {
    const full = resolve(cwd, path);
    if (!(await stat(full)).isDirectory()) files.push(full);
    else {
      const entries = await readdir(full, { recursive: true });
      const inside = entries.filter((name) => ruleFile.test(name) && !name.split(sep).some(notOurs)).sort();
      if (inside.length === 0) throw usageFailure(`${path} holds no .yaml or .yml files.`);
      files.push(...inside.map((name) => join(full, name)));
    }
  }
  return await Promise.all(
    files.map(async (file) => ({ file: relative(cwd, file) || file, source: await readFile(file, "utf8") })),
  );
}

/** The faults of rules name their file as a path of the request. */
function withPlaces(error: unknown, file?: string): unknown {
  if (!(error instanceof CliFailure) || error.code !== "invalid_rule") return error;
  return new CliFailure(error.message, {
    code: error.code,
    diagnostics: error.diagnostics.map(({ field, ...rest }) => ({ ...rest, file: file ?? field ?? "" })),
    details: error.details,
    cause: error,
  });
}

function days(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 400)) throw new InvalidArgumentError("It must be a number of days, at most 400.");
  return value;
}

const rulePath = (id: string, rest = ""): string => `/api/rules/${encodeURIComponent(id)}${rest}`;

const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;
