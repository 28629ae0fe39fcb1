/**
 * The actions of one run: each step is written before it begins and again when it has ended, so whoever goes on after a kill
 * knows what was done. Steps end `succeeded` or `failed`; `waiting` ones are tried again at their time; one that is `running`
 * when a run is taken up was under way when its hub was lost: it is run again where its operator is idempotent (with the same
 * key), else nobody knows what it did and it fails with `outcome_unknown`. Long because all steps of this state machine are here.
 */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { sleep } from "../base/deferred.ts";
import { RetryLater } from "../bus/delivery.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import type { Trace } from "../telemetry/trace.ts";
import { renderParams } from "./language/template.ts";
import type {
  ActionNode,
  CompiledAction,
  CompiledRule,
  OperatorCatalog,
  RuleEvent,
  RuleScope,
} from "./language/types.ts";
import type { OperatorCalls, OperatorContext } from "./operator-calls.ts";
import type { RedactionOf } from "./redaction.ts";
import { actionsOf } from "./rule-parts.ts";
import type { RunRow, StepRow } from "./rule-record.ts";
import { runError } from "./rule-runs.ts";
import { clip, jsonLength, shownError } from "./trace-values.ts";

/** The run is not ours any more: it was cancelled, or another hub has taken it up. */
export class Superseded extends Error {}

/** A step failed that may not; the run ends with its error. */
export class StepFailed extends Error {
  readonly code: string;
  readonly step: string;
  constructor(step: string, error: { code: string; message: string }) {
    super(error.message);
    this.code = error.code;
    this.step = step;
  }
}

export interface StepsOptions {
  store: Store;
  calls: OperatorCalls;
  redactionOf: RedactionOf;
}

export interface RunningRun {
  row: RunRow;
  organization: OrganizationId;
  rule: CompiledRule;
  /** Where variables come from. */
  catalog: OperatorCatalog;
  event: RuleEvent | undefined;
  trace: Trace;
  signal: AbortSignal;
}

/** A result that is larger is not kept, and later steps find null in its place. */
const mostResultBytes = 64 * 1024;
/** Shorter waits are waited for; longer ones give the slot back. */
const shortWaitMs = 1_000;

type Steps = Pick<StepsOptions, "store" | "calls" | "redactionOf">;

/** Runs what is left of the actions. Errors: `Superseded`, `StepFailed`, `RetryLater`. */
export async function runActions(options: StepsOptions, run: RunningRun): Promise<void> {
  const rows = await options.store.db
    .selectFrom("rule_run_steps")
    .selectAll()
    .where("organization_id", "=", run.organization)
    .where("run_id", "=", run.row.id)
    .execute();
  const positions = new Map(actionsOf(run.rule.actions).map((action, n) => [action.key, n]));
  const walk = new Walk(options, run, new Map(rows.map((row) => [row.step, row])), positions);
  await walk.node(run.rule.actions);
}

class Walk {
  readonly #options: Steps;
  readonly #run: RunningRun;
  readonly #rows: Map<string, StepRow>;
  readonly #positions: ReadonlyMap<string, number>;
  readonly #results: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  readonly #variables: Record<string, Record<string, unknown>[]>;

  constructor(options: Steps, run: RunningRun, rows: Map<string, StepRow>, positions: ReadonlyMap<string, number>) {
    this.#options = options;
    this.#run = run;
    this.#rows = rows;
    this.#positions = positions;
    this.#variables = (run.row.variables ?? {}) as Record<string, Record<string, unknown>[]>;
  }

  async node(node: ActionNode): Promise<void> {
    if (node.kind === "action") return await this.#action(node);
    if (node.kind === "sequence") {
      for (const item of node.items) await this.node(item);
      return;
    }
    const ended = await Promise.allSettled(node.items.map((item) => this.node(item)));
    const errors = ended.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    if (errors.length === 0) return;
    // A branch that only waits must not be forgotten for one that failed: the run ends when all branches have.
    const superseded = errors.find((error) => error instanceof Superseded);
    const waits = errors.filter((error): error is RetryLater => error instanceof RetryLater);
    const wait = waits.toSorted((a, b) => a.ms - b.ms)[0];
    throw superseded ?? wait ?? errors[0];
  }

  async #action(action: CompiledAction): Promise<void> {
    const [variable] = action.variables;
    let result: unknown;
    if (variable === undefined) result = await this.#step(action, action.key, {});
    else {
      const values = await this.#valuesOf(variable);
      const results: unknown[] = [];
      for (const [n, value] of values.entries())
        results.push(await this.#step(action, `${action.key}:${n}`, { [variable]: value }));
      if (values.length === 0) await this.#nothingToDo(action, variable);
      result = results;
    }
    if (action.id !== undefined) this.#results[action.id] = result;
  }

  /** Listed once a run and kept: the values are numbered in idempotency keys, so they must be the same after a kill. */
  async #valuesOf(variable: string): Promise<Record<string, unknown>[]> {
    const known = this.#variables[variable];
    if (known) return known;
    const { organization, catalog, row, trace, signal } = this.#run;
    const plugin = catalog.variables.get(variable)?.plugin;
    if (plugin === undefined)
      throw new StepFailed(variable, { code: "rule_broken", message: `No plugin offers the variable '${variable}'.` });
    let values: Record<string, unknown>[];
    try {
      values = await this.#options.calls.variable({
        organization,
        plugin,
        operator: variable,
        context: this.#context(),
        trace,
        depth: row.depth,
        signal,
      });
    } catch (error) {
      if (error instanceof RetryLater || signal.aborted) throw error;
      throw new StepFailed(variable, shownError(error));
    }
    const { unreadable, show } = await this.#options.redactionOf(organization, [plugin]);
    if (unreadable !== undefined) throw new StepFailed(variable, notKept(variable, unreadable));
    this.#variables[variable] ??= show(values) as Record<string, unknown>[];
    const { numUpdatedRows } = await this.#options.store.db
      .updateTable("rule_runs")
      .set({ variables: json(this.#variables) })
      .where("organization_id", "=", organization)
      .where("id", "=", row.id)
      .where("status", "=", "running")
      .where("turn", "=", row.turn)
      .executeTakeFirst();
    if (numUpdatedRows !== 1n) throw new Superseded();
    return this.#variables[variable];
  }

  async #nothingToDo(action: CompiledAction, variable: string): Promise<void> {
    if (this.#rows.has(action.key)) return;
    await this.#begin(action, action.key, { attempts: 0, params: `\`${variable}\` has no values` });
    await this.#end(action, action.key, { status: "succeeded", result: [] });
  }

  async #step(action: CompiledAction, key: string, variables: Record<string, unknown>): Promise<unknown> {
    const row = this.#rows.get(key);
    if (row?.status === "succeeded") return row.result;
    if (row?.status === "failed")
      return this.#afterFailure(action, key, row.error as unknown as { code: string; message: string });
    let attempts = row?.attempts ?? 0;
    if (row?.status === "running") {
      if (!action.idempotent) return await this.#fail(action, key, outcomeUnknown(action));
      // The attempt that was cut off is made again, it does not count twice.
      attempts = Math.max(0, attempts - 1);
    }
    if (row?.status === "waiting" && row.next_at) await this.#wait(row.next_at.getTime() - Date.now());
    for (;;) {
      const scope: RuleScope = { ...this.#scope(), variables };
      const rendered = renderParams(action.params, scope);
      if (!rendered.ok) {
        await this.#begin(action, key, { attempts, params: null });
        return await this.#fail(action, key, {
          code: `template_${rendered.failure.code}`,
          message: rendered.failure.message,
        });
      }
      attempts += 1;
      await this.#begin(action, key, { attempts, params: await this.#shown(action, rendered.value) });
      const outcome = await this.#options.calls.action({
        organization: this.#run.organization,
        plugin: action.plugin,
        operator: action.operator,
        params: rendered.value,
        context: { ...this.#context(), run: { id: this.#run.row.id, idempotencyKey: `${this.#run.row.id}:${key}` } },
        trace: this.#run.trace,
        depth: this.#run.row.depth,
        timeoutMs: action.timeoutMs,
        signal: this.#run.signal,
      });
      switch (outcome.is) {
        case "done":
          return await this.#succeed(action, key, outcome);
        case "later":
          await this.#putOff(key, { attempts: attempts - 1, ms: outcome.wait.ms });
          throw outcome.wait;
        case "unknown":
          // Left as `running`: whoever takes the run up next knows that it was under way.
          throw new RetryLater(1_000, outcome.error.message);
        case "failed": {
          const error = shownError(outcome.error);
          if (attempts >= action.retry.attempts) return await this.#fail(action, key, error, outcome.executionId);
          const ms = waitAfter(action, attempts);
          await this.#putOff(key, { attempts, ms, error });
          await this.#wait(ms);
        }
      }
    }
  }

  async #wait(ms: number): Promise<void> {
    if (ms > shortWaitMs) throw new RetryLater(ms, "a step is tried again later");
    if (ms > 0) await sleep(ms, this.#run.signal);
    if (this.#run.signal.aborted) throw new RetryLater(0, "the hub stops");
  }

  #context(): OperatorContext {
    const { row, event, organization } = this.#run;
    return {
      rule: { id: row.rule_id, name: row.rule_name },
      ...(event ? { event } : {}),
      steps: { ...this.#results },
      organization,
    };
  }

  #scope(): RuleScope {
    const { row, event } = this.#run;
    return {
      ...(event ? { event } : {}),
      now: new Date(),
      rule: { id: row.rule_id, name: row.rule_name },
      run: { id: row.id, startedAt: row.started_at ?? row.created_at },
      steps: this.#results,
    };
  }

  async #shown({ plugin, variables }: CompiledAction, value: unknown): Promise<unknown> {
    const sources = variables.flatMap((name) => this.#run.catalog.variables.get(name)?.plugin ?? []);
    return clip((await this.#options.redactionOf(this.#run.organization, [plugin, ...sources])).show(value));
  }

  /** Only while the run is ours: the statement asks, so that no step begins after a cancel or beside another hub. */
  async #begin(
    action: CompiledAction,
    key: string,
    { attempts, params }: { attempts: number; params: unknown },
  ): Promise<void> {
    const { row, organization } = this.#run;
    const { rows } = await sql<StepRow>`
      insert into rule_run_steps (organization_id, run_id, step, position, operator, status, attempts, params)
      select organization_id, id, ${key}, ${this.#positions.get(action.key) ?? 0}::int, ${action.operator}, 'running', ${attempts}::int, ${json(params)}
      from rule_runs where organization_id = ${organization} and id = ${row.id} and status = 'running' and turn = ${row.turn}
      for share
      on conflict (organization_id, run_id, step) do update set
        status = 'running', attempts = excluded.attempts, params = excluded.params, next_at = null, error = null
      returning *`.execute(this.#options.store.db);
    if (!rows[0]) throw new Superseded();
    this.#rows.set(key, rows[0]);
  }

  async #end(
    action: CompiledAction,
    key: string,
    ended: {
      status: "succeeded" | "failed";
      result?: unknown;
      error?: { code: string; message: string };
      executionId?: string | undefined;
    },
  ): Promise<void> {
    const { row, organization } = this.#run;
    const last = key === action.key || this.#isLastValue(action, key);
    const { rows } = await sql<{ id: string }>`
      with step as (
        update rule_run_steps s set status = ${ended.status}, ended_at = now(), result = ${json(ended.result ?? null)},
          error = ${ended.error ? json(runError(ended.error)) : sql`null`}, execution_id = ${ended.executionId ?? null}::text
        from rule_runs r where s.organization_id = ${organization} and s.run_id = ${row.id} and s.step = ${key} and s.status = 'running'
          and r.organization_id = s.organization_id and r.id = s.run_id and r.status = 'running' and r.turn = ${row.turn}
        returning s.run_id
      ), counted as (
        update rule_runs r set steps_done = steps_done + ${last ? 1 : 0}::int from step
        where ${last} and r.organization_id = ${organization} and r.id = step.run_id
      ) select run_id as id from step`.execute(this.#options.store.db);
    if (!rows[0]) throw new Superseded();
    const known = this.#rows.get(key);
    if (known) Object.assign(known, { status: ended.status, result: ended.result ?? null, error: ended.error ?? null });
  }

  #isLastValue(action: CompiledAction, key: string): boolean {
    const variable = action.variables[0];
    return variable !== undefined && key === `${action.key}:${(this.#variables[variable]?.length ?? 0) - 1}`;
  }

  async #succeed(
    action: CompiledAction,
    key: string,
    { result, executionId }: { result: unknown; executionId: string },
  ): Promise<unknown> {
    const kept = (jsonLength(result) ?? Number.POSITIVE_INFINITY) <= mostResultBytes ? result : null;
    const { unreadable, show } = await this.#options.redactionOf(this.#run.organization, [action.plugin]);
    // No sentence in its place: a later step would send it to somebody.
    const safe = unreadable === undefined ? show(kept) : null;
    await this.#end(action, key, { status: "succeeded", result: safe, executionId });
    return safe;
  }

  async #fail(
    action: CompiledAction,
    key: string,
    error: { code: string; message: string },
    executionId?: string,
  ): Promise<unknown> {
    await this.#end(action, key, { status: "failed", error, executionId });
    return this.#afterFailure(action, key, error);
  }

  #afterFailure(action: CompiledAction, key: string, error: { code: string; message: string }): unknown {
    if (action.continueOnError) return null;
    throw new StepFailed(key, error);
  }

  async #putOff(
    key: string,
    { attempts, ms, error }: { attempts: number; ms: number; error?: { code: string; message: string } },
  ): Promise<void> {
    const { row, organization } = this.#run;
    await this.#options.store.db
      .updateTable("rule_run_steps")
      .set({
        status: "waiting",
        attempts,
        next_at: new Date(Date.now() + ms),
        ...(error ? { error: json(runError(error)) } : {}),
      })
      .where("organization_id", "=", organization)
      .where("run_id", "=", row.id)
      .where("step", "=", key)
      .where("status", "=", "running")
      .execute();
  }
}

/** Milliseconds before the next try, after `attempts` of them. */
export function waitAfter({ retry }: Pick<CompiledAction, "retry">, attempts: number): number {
  return Math.min(retry.maxBackoffMs, retry.backoffMs * retry.factor ** (attempts - 1));
}

const notKept = (variable: string, plugin: string): { code: string; message: string } => ({
  code: "secret_unreadable",
  message: `The secrets of plugin '${plugin}' cannot be read, so what its variable '${variable}' lists cannot be kept. Set them again.`,
});

function outcomeUnknown({ operator }: CompiledAction): { code: string; message: string } {
  return {
    code: "outcome_unknown",
    message: `The hub was lost while '${operator}' ran, and it may not run twice: look at what it did before you run this again.`,
  };
}
