/**
 * What a failed `sendMessage` means for the message. The one question is whether the service may have taken it: a message that
 * may be out is only sent again where the service tells repetitions by their id.
 */
import { isObject } from "../base/json.ts";
import type { BackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";

export type SendFailure =
  /** Certainly not sent: try again after `waitMs`, or by backoff. `hold`: the whole channel is to wait. */
  | { kind: "again"; counted: boolean; waitMs?: number; hold?: boolean }
  /** Certainly not sent, and trying again cannot help. */
  | { kind: "refused" }
  /** Nobody knows whether it was sent. */
  | { kind: "unknown" }
  /** The plugin says it was sent; only what it said of it cannot be read. */
  | { kind: "sent" };

export interface FailedSend {
  error: BackplaneError;
  /** Ability calls of the execution: a plugin that made no request has sent nothing. Absent when no execution began. */
  abilityCalls: Readonly<Record<string, number>> | undefined;
}

/** Errors of the hub that pass by themselves; milliseconds until the next look. None of them is the message's fault. */
const passing: Partial<Record<ErrorCode, number>> = {
  plugin_not_active: 5_000,
  plugin_quarantined: 5_000,
  database_unavailable: 2_000,
  shutting_down: 1_000,
  rate_limited: 500,
  concurrency_exceeded: 200,
  runtime_unavailable: 1_000,
};

/** Errors of the plugin's own calls to the hub that pass by themselves. */
const passingForGuest: ReadonlySet<string> = new Set([
  "ability_timeout",
  "connection_unavailable",
  "concurrency_exceeded",
  "database_unavailable",
  "rate_limited",
  "runtime_unavailable",
  "shutting_down",
]);

/** Requests that the hub itself did not let out. */
const stoppedAtTheHub: ReadonlySet<string> = new Set([
  "connection_expired",
  "connection_required",
  "egress_denied",
  "secret_misused",
]);

/** Answers that say the service did not act, and may the next time. */
const passingStatuses: ReadonlySet<number> = new Set([425, 429, 500, 503]);
/** Nothing was sent when no connection came about; the sentences are those of src/egress/failure.ts. */
const neverConnected =
  /refused the connection|no connection could be made|no secure connection|certificate is not valid/;
const longestWaitMs = 60 * 60 * 1000;

export function classifySendFailure({ error, abilityCalls }: FailedSend): SendFailure {
  const wait = passing[error.code];
  if (abilityCalls === undefined) return wait === undefined ? { kind: "refused" } : later(wait);
  if (error.code === "result_invalid") return { kind: "sent" };
  const reachedOut = (abilityCalls["http.fetch"] ?? 0) + (abilityCalls["plugins.call"] ?? 0) > 0;
  if (!reachedOut) return withoutRequest(error, wait);
  return error.code === "plugin_error" ? afterRequest(error) : { kind: "unknown" };
}

const later = (waitMs: number): SendFailure => ({ kind: "again", counted: false, waitMs });

function withoutRequest(error: BackplaneError, wait: number | undefined): SendFailure {
  if (wait !== undefined) return later(wait);
  if (error.code === "handler_missing" || error.code === "no_code") return { kind: "refused" };
  const { code } = guestOf(error);
  // What its code says without asking anybody, it will say again.
  if (error.code === "plugin_error")
    return passingForGuest.has(code) ? { kind: "again", counted: true } : { kind: "refused" };
  return { kind: "again", counted: true };
}

function afterRequest(error: BackplaneError): SendFailure {
  const { code, status, retryAfter } = guestOf(error);
  if (status !== undefined) {
    const waitMs = retryAfter === undefined ? undefined : Math.min(retryAfter * 1000, longestWaitMs);
    if (status === 429 || (status === 503 && waitMs !== undefined))
      return { kind: "again", counted: waitMs === undefined, hold: true, ...(waitMs === undefined ? {} : { waitMs }) };
    if (passingStatuses.has(status)) return { kind: "again", counted: true };
    if (status >= 400 && status < 500 && status !== 408) return { kind: "refused" };
    return { kind: "unknown" };
  }
  if (code === "connection_unavailable" || (code === "egress_failed" && neverConnected.test(error.message)))
    return { kind: "again", counted: true };
  // Any other error may come from what the plugin did after the service had taken the message.
  return { kind: stoppedAtTheHub.has(code) ? "refused" : "unknown" };
}

interface GuestSays {
  code: string;
  /** HTTP status of the service. */
  status: number | undefined;
  /** Seconds. */
  retryAfter: number | undefined;
}

/** What the thrown error told of itself; see src/runtimes/isolate/host/call-error.ts. */
function guestOf({ details }: BackplaneError): GuestSays {
  const guest = isObject(details["guest"]) ? details["guest"] : {};
  const { code, status, retryAfter } = guest;
  return {
    code: typeof code === "string" ? code : "",
    status:
      Number.isInteger(status) && (status as number) >= 100 && (status as number) <= 599
        ? (status as number)
        : undefined,
    retryAfter:
      typeof retryAfter === "number" && Number.isFinite(retryAfter) && retryAfter >= 0 ? retryAfter : undefined,
  };
}
