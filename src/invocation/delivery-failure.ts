/** What a failed invocation means for the delivery that caused it: wait without losing an attempt, give up, or try again with backoff. */
import { DeadLetter, RetryLater } from "../bus/delivery.ts";
import { BackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";

/** Nothing ran, and nothing is wrong with the item: milliseconds until the next look. */
const waitMs: Partial<Record<ErrorCode, number>> = {
  plugin_not_active: 5_000,
  plugin_quarantined: 5_000,
  database_unavailable: 2_000,
  shutting_down: 1_000,
  rate_limited: 500,
  concurrency_exceeded: 200,
  runtime_unavailable: 1_000,
};

/** Trying again cannot help. */
const hopeless: ReadonlySet<ErrorCode> = new Set([
  "not_found",
  "function_not_found",
  "handler_missing",
  "no_code",
  "permission_denied",
]);

/** The error to throw from a delivery handler for what `invoke` gave. */
export function deliveryFailure(error: unknown): unknown {
  if (!(error instanceof BackplaneError)) return error;
  const wait = waitMs[error.code];
  if (wait !== undefined) return new RetryLater(wait, error.message, { cause: error });
  if (hopeless.has(error.code)) return new DeadLetter(error.code, error.message, { cause: error });
  return error;
}
