/** What a failed call of `sync` means for its run: go on, wait, try again, or end. */
import type { BackplaneError } from "../errors/error.ts";
import type { ErrorCode } from "../errors/table.ts";

export type Verdict =
  /** The call was long enough: another goes on from the stored cursor. */
  | { kind: "continue" }
  /** Not now, and nobody's fault. `ms` is what the service or the hub asks for; without it the backoff says. */
  | { kind: "wait"; ms?: number }
  /** Counts as a failure; after some in a row the run fails. */
  | { kind: "retry" }
  | { kind: "fail" }
  | { kind: "cancel" };

/** The hub's own moments: ms until the next look. */
const hubWaits: Partial<Record<ErrorCode, number>> = {
  database_unavailable: 2_000,
  shutting_down: 1_000,
  concurrency_exceeded: 1_000,
  runtime_unavailable: 1_000,
  runner_lost: 1_000,
};

/** The same would happen again. */
const hopeless: ReadonlySet<string> = new Set<ErrorCode>([
  "permission_denied",
  "result_invalid",
  "handler_missing",
  "no_code",
  "function_not_found",
  "plugin_load_failed",
  "plugin_quarantined",
  "limit_exceeded",
  "cpu_exceeded",
  "memory_exceeded",
  "payload_too_large",
  "call_depth_exceeded",
  "ability_restricted",
  "egress_denied",
  "secret_misused",
  "connection_required",
  "connection_expired",
]);

/** Longest wait that a service can ask for. */
const longestWaitMs = 24 * 3_600_000;

export function judge(error: BackplaneError): Verdict {
  const { code, details } = error;
  if (code === "deadline_exceeded") return { kind: "continue" };
  if (code === "plugin_not_active" || code === "not_found" || code === "cancelled") return { kind: "cancel" };
  const ms = hubWaits[code];
  if (ms !== undefined) return { kind: "wait", ms };
  if (code === "rate_limited") return { kind: "wait", ...askedFor(details["retryAfter"]) };
  if (hopeless.has(code)) return { kind: "fail" };
  const guest = (details["guest"] ?? {}) as { status?: unknown; code?: unknown; retryAfter?: unknown };
  if (guest.status === 429 || guest.status === 503) return { kind: "wait", ...askedFor(guest.retryAfter) };
  if (guest.code === "connection_unavailable" || guest.code === "rate_limited")
    return { kind: "wait", ...askedFor(guest.retryAfter) };
  if (typeof guest.code === "string" && hopeless.has(guest.code)) return { kind: "fail" };
  return { kind: "retry" };
}

/** Seconds, as a plugin or a service gives them. */
function askedFor(seconds: unknown): { ms?: number } {
  if (typeof seconds !== "number" || !(seconds >= 0)) return {};
  return { ms: Math.min(Math.max(seconds * 1000, 250), longestWaitMs) };
}

/** A fault as it is kept with a run: the plugin's own code where it has one. */
export function faultOfRun(error: BackplaneError): { code: string; message: string } {
  const guest = error.details["guest"] as { code?: unknown } | undefined;
  const own = error.code === "plugin_error" && typeof guest?.code === "string" && hopeless.has(guest.code);
  return { code: own ? (guest!.code as string) : error.code, message: error.message.slice(0, 2000) };
}
