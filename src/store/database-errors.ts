/** Turns what the drivers throw into our codes: a lost database, a full disk. Everything else passes (constraint errors are the caller's). */
import { BackplaneError } from "../errors/error.ts";

/** SQLSTATE of a database error, else undefined. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

export function isUniqueViolation(error: unknown): boolean {
  return sqlState(error) === "23505";
}

/** Serialisation failure or deadlock: the same transaction may succeed when repeated. */
export function isRetryable(error: unknown): boolean {
  const state = sqlState(error);
  return state === "40001" || state === "40P01";
}

/** Node's network errors, and SQLSTATEs of a server that is going away or cannot take one more session. */
const lostCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "ECONNABORTED",
]);
const lostStates = new Set(["57P01", "57P02", "57P03", "57P05", "57014", "25P03", "25P04", "53300", "58030"]);
const lostMessages =
  /connection terminated|not queryable|connection ended|timeout exceeded when trying to connect|read timeout|timeout expired|server closed the connection/i;
const fullMessages = /no space left on device|disk quota exceeded|ENOSPC|EDQUOT/i;

/** Gives back `database_unavailable`, `storage_full`, or the error itself. */
export function mapDatabaseError(error: unknown): unknown {
  if (error instanceof BackplaneError || !(error instanceof Error)) return error;
  const code = String((error as { code?: unknown }).code ?? "");
  if (code === "53100" || code === "ENOSPC" || code === "EDQUOT" || fullMessages.test(error.message)) {
    return new BackplaneError("storage_full", { reason: "the database's disk is full" }, { cause: error });
  }
  if (
    lostCodes.has(code) ||
    lostStates.has(code) ||
    code.startsWith("08") ||
    (!sqlState(error) && lostMessages.test(error.message))
  ) {
    return new BackplaneError("database_unavailable", {}, { cause: error });
  }
  return error;
}
