/** Errors that `ctx` calls reject with, and guards to tell them apart. The classes themselves live in the sandbox. */

/** Codes a plugin may meet as `error.code`. They are a part of the hub's error table and never change their meaning. */
export const authorErrorCodes = [
  // The ability itself
  "ability_unknown",
  "ability_restricted",
  "ability_input",
  "ability_timeout",
  "permission_denied",
  "limit_exceeded",
  "payload_too_large",
  "rate_limited",
  // ctx.http
  "egress_denied",
  "egress_failed",
  "egress_timeout",
  "egress_too_large",
  "secret_misused",
  "connection_required",
  "connection_expired",
  "connection_unavailable",
  // ctx.storage and ctx.data
  "storage_quota",
  "not_found",
  "conflict",
  "invalid_input",
  "invalid_cursor",
  // ctx.plugins.call: what became of the other plugin
  "function_not_found",
  "invalid_parameters",
  "plugin_not_active",
  "plugin_quarantined",
  "no_code",
  "handler_missing",
  "plugin_load_failed",
  "plugin_error",
  "result_invalid",
  "call_cycle",
  "call_depth_exceeded",
  "concurrency_exceeded",
  "cpu_exceeded",
  "memory_exceeded",
  "deadline_exceeded",
  "cancelled",
  // The hub
  "runner_lost",
  "runtime_unavailable",
  "shutting_down",
  "database_unavailable",
  "storage_full",
  "internal",
] as const;

export type AuthorErrorCode = (typeof authorErrorCodes)[number];

/** What a failed `ctx` call rejects with. */
export interface AbilityError extends Error {
  readonly name: "AbilityError";
  readonly code: AuthorErrorCode;
  /** Whole seconds until it may go better: of `connection_unavailable` and `rate_limited`. */
  readonly retryAfter?: number;
}

/** What `ctx.http.get` and `ctx.http.post` reject with when the answer's status is not 2xx. */
export interface HttpError extends Error {
  readonly name: "HttpError";
  readonly status: number;
  /** Parsed as a successful body would be. */
  readonly body: unknown;
  readonly headers: Record<string, string>;
  readonly url: string;
  /** Whole seconds until the service wants to be asked again, from its `Retry-After` (a number or a date); absent without one. */
  readonly retryAfter?: number;
}

/** True for a failed ability call; with `code`, only for that one. */
export function isAbilityError(error: unknown, code?: AuthorErrorCode): error is AbilityError {
  return (
    error instanceof Error &&
    error.name === "AbilityError" &&
    (code === undefined || (error as AbilityError).code === code)
  );
}

/** True for a non-2xx answer; with `status`, only for that one. */
export function isHttpError(error: unknown, status?: number): error is HttpError {
  return (
    error instanceof Error &&
    error.name === "HttpError" &&
    (status === undefined || (error as HttpError).status === status)
  );
}
