/** What the end of a stopped call means, and what of its error may be kept. */
import { HubStops } from "../bus/delivery-runner.ts";
import { BackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";
import type { ExecutionRecord } from "./execution-record.ts";

/** Reason of an abort: a person asked for it. */
export const cancelled = "cancelled";

/** An async call that did not end here and will go on elsewhere or later; its row must not be ended. */
export class Interrupted extends Error {
  /** Nothing ran yet: back to `queued`. */
  readonly unbegun: boolean;
  constructor(message: string, { unbegun }: { unbegun: boolean }) {
    super(message);
    this.unbegun = unbegun;
  }
}
const notBegun: readonly ErrorCode[] = ["concurrency_exceeded", "runtime_unavailable"];

/**
 * What a stopped call means: the runtime only knows that it was stopped. Throws `Interrupted` for async calls that are not
 * over. One that may not run twice and whose hub stops is over: whatever it did, it did not finish.
 */
export function whyStopped(error: BackplaneError, record: ExecutionRecord, signal: AbortSignal): BackplaneError {
  const async = record.mode === "async";
  if (async && notBegun.includes(error.code)) throw new Interrupted(error.message, { unbegun: true });
  if (error.code === "shutting_down" || (error.code === "cancelled" && signal.reason instanceof HubStops)) {
    if (!async) return new BackplaneError("shutting_down", {}, { cause: error });
    if (record.idempotent) throw new Interrupted("the hub stops", { unbegun: false });
    return new BackplaneError("hub_lost", {}, { cause: error });
  }
  // Its lease was lost: another hub has it now.
  if (async && error.code === "cancelled" && signal.reason !== cancelled)
    throw new Interrupted("another hub took it", { unbegun: false });
  return error;
}

/** Errors go into records and to callers, and vendors' errors, which plugins pass on, like to quote what they were sent. */
export function withoutSecrets(error: BackplaneError, redact: (text: string) => string): BackplaneError {
  const texts = [error.message, error.guestStack ?? ""];
  if (texts.every((text) => redact(text) === text)) return error;
  const details = Object.entries(error.details).map(([name, value]) => [
    name,
    typeof value === "string" ? redact(value) : value,
  ]);
  return new BackplaneError(error.code, Object.fromEntries(details), {
    ...(error.errors ? { errors: [...error.errors] } : {}),
    ...(error.guestStack === undefined ? {} : { guestStack: redact(error.guestStack) }),
    cause: error,
  });
}
