/**
 * Asks operators behind their wall and checks what comes back: a condition answers true or false, a variable lists at most
 * 200 objects, an action gives any JSON. Says of a failure whether anything ran, which is what decides if it may be tried again.
 */
import type { OrganizationId } from "../base/brands.ts";
import { asPluginId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import { RetryLater } from "../bus/delivery.ts";
import { BackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";
import { deliveryFailure } from "../invocation/delivery-failure.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { Trace } from "../telemetry/trace.ts";
import type { RuleEvent } from "./language/types.ts";
import { jsonLength } from "./trace-values.ts";

/** What operators are told of the run: plugin-api's RuleContext. */
export interface OperatorContext {
  rule: { id: string; name: string };
  run?: { id: string; idempotencyKey: string };
  event?: RuleEvent;
  steps?: Record<string, unknown>;
  organization: string;
}

export interface OperatorRequest {
  organization: OrganizationId;
  plugin: string;
  operator: string;
  params: Record<string, unknown>;
  context: OperatorContext;
  trace: Trace;
  depth: number;
  timeoutMs?: number;
  /** One of many that are asked for no event of now: they leave the plugin's rate to those that are. */
  paced?: boolean;
  signal?: AbortSignal;
}

export interface OperatorCalls {
  /** Errors: those of the plugin; `result_invalid`. Throws `RetryLater` when it could not be asked now. */
  condition(request: OperatorRequest): Promise<boolean>;
  variable(request: Omit<OperatorRequest, "params">): Promise<Record<string, unknown>[]>;
  action(request: OperatorRequest): Promise<ActionOutcome>;
}

/**
 * `later`: nothing ran, for a reason that passes. `failed`: it ran and failed, or cannot run. `unknown`: nobody can say what
 * it did: the hub stops, or its record could not be written.
 */
export type ActionOutcome =
  | { is: "done"; result: unknown; executionId: string }
  | { is: "later"; wait: RetryLater }
  | { is: "failed"; error: { code: string; message: string }; executionId?: string }
  | { is: "unknown"; error: { code: string; message: string } };

const mostValues = 200;
const mostVariableBytes = 512 * 1024;
/** Results of earlier actions go along with a call while they are not larger than this. */
const mostStepBytes = 256 * 1024;

export function createOperatorCalls({ invoker }: { invoker: Pick<Invoker, "run"> }): OperatorCalls {
  const call = (kind: "condition" | "action" | "variable", args: unknown[], request: Omit<OperatorRequest, "params">) =>
    invoker.run({
      organization: request.organization,
      plugin: asPluginId(request.plugin),
      kind,
      name: request.operator,
      args,
      actor: `rule:${request.context.rule.id}`,
      trace: request.trace,
      eventDepth: request.depth,
      ...(request.paced ? { paced: true } : {}),
      ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs }),
      ...(request.signal ? { signal: request.signal } : {}),
    });

  /** Looks only, so it may be asked again whatever happened. */
  const look = async (
    kind: "condition" | "variable",
    args: unknown[],
    request: Omit<OperatorRequest, "params">,
  ): Promise<unknown> => {
    try {
      const { record, error } = await call(kind, args, request);
      if (error) throw error;
      return record.result;
    } catch (error) {
      const failure = deliveryFailure(error);
      throw failure instanceof RetryLater || !(error instanceof BackplaneError) ? failure : error;
    }
  };

  return {
    async condition(request) {
      const answer = await look("condition", [request.params, request.context], request);
      if (typeof answer === "boolean") return answer;
      throw new BackplaneError("result_invalid", {
        plugin: request.plugin,
        reason: `condition '${request.operator}' must answer true or false, not ${shapeOf(answer)}`,
      });
    },
    async variable(request) {
      const values = await look("variable", [request.context], request);
      const invalid = (reason: string): BackplaneError =>
        new BackplaneError("result_invalid", { plugin: request.plugin, reason });
      if (!Array.isArray(values) || !values.every(isObject))
        throw invalid(`variable '${request.operator}' must be a list of objects`);
      if (values.length > mostValues)
        throw invalid(`variable '${request.operator}' has ${values.length} values; at most ${mostValues} are taken`);
      if ((jsonLength(values) ?? Number.POSITIVE_INFINITY) > mostVariableBytes)
        throw invalid(`the values of variable '${request.operator}' are larger than ${mostVariableBytes} bytes`);
      return values;
    },
    async action(request) {
      const { context, params } = request;
      const steps = context.steps && (jsonLength(context.steps) ?? 0) <= mostStepBytes ? context.steps : undefined;
      const { steps: _all, ...rest } = context;
      try {
        const { record, error } = await call("action", [params, { ...rest, ...(steps ? { steps } : {}) }], request);
        if (!error) return { is: "done", result: record.result ?? null, executionId: record.id };
        if (notBegun.has(error.code)) return { is: "later", wait: deliveryFailure(error) as RetryLater };
        if (error.code === "shutting_down" || error.code === "hub_lost" || request.signal?.aborted)
          return { is: "unknown", error };
        return { is: "failed", error, executionId: record.id };
      } catch (error) {
        if (!(error instanceof BackplaneError)) throw error;
        // The call is over, only its record could not be written.
        if (error.code === "database_unavailable" || error.code === "storage_full") return { is: "unknown", error };
        const failure = deliveryFailure(error);
        return failure instanceof RetryLater ? { is: "later", wait: failure } : { is: "failed", error };
      }
    },
  };
}

/** Codes of ended calls whose handler was never entered. */
const notBegun: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["concurrency_exceeded", "runtime_unavailable"]);

function shapeOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  return Array.isArray(value) ? "a list" : `a value of type ${typeof value}`;
}
