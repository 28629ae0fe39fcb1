/** Errors as RFC 9457 problem documents: what every edge shows. Causes and host stacks never appear here. */
import { type BackplaneError, type FieldError, toBackplaneError } from "./error.ts";

/** Media type `application/problem+json`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  recovery: string;
  errors?: readonly FieldError[];
  retryAfter?: number;
  traceId?: string;
}

export function toProblem(error: unknown, traceId?: string): Problem {
  const known: BackplaneError = toBackplaneError(error);
  const problem: Problem = {
    type: `https://backplane.dev/errors/${known.code}`,
    title: known.code.replaceAll("_", " "),
    status: known.row.status,
    detail:
      known.code === "internal" && traceId ? known.message.replace(/trace .*\./, `trace ${traceId}.`) : known.message,
    code: known.code,
    recovery: known.row.recovery,
  };
  if (known.errors) problem.errors = known.errors;
  const retryAfter = known.details["retryAfter"];
  if (typeof retryAfter === "number") problem.retryAfter = retryAfter;
  if (traceId) problem.traceId = traceId;
  return problem;
}
