/** The one error class that crosses our own boundaries. Its code picks the row of the table; `details` fill the sentence. */
import { type ErrorCode, type ErrorRow, errorTable } from "./table.ts";

/** One fault of an input: `path` is a JSON Pointer-like dotted path (`$` is the root). */
export interface FieldError {
  path: string;
  message: string;
  /** 1-based line in the file, where the input came from a file. */
  line?: number;
  column?: number;
}

export interface BackplaneErrorOptions {
  /** Faults by field: shown to callers as `errors`. */
  errors?: FieldError[];
  /** Never leaves the host. */
  cause?: unknown;
  /** Author-facing stack of guest code, already mapped through the source map. */
  guestStack?: string;
}

export class BackplaneError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  readonly errors: readonly FieldError[] | undefined;
  readonly guestStack: string | undefined;

  constructor(code: ErrorCode, details: Record<string, unknown> = {}, options: BackplaneErrorOptions = {}) {
    super(
      fillSentence(errorTable[code].message, details),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "BackplaneError";
    this.code = code;
    this.details = details;
    this.errors = options.errors;
    this.guestStack = options.guestStack;
  }

  get row(): ErrorRow {
    return errorTable[this.code];
  }

  /** True when the same request may succeed later without a change. */
  get retryable(): boolean {
    return this.row.recovery === "retry";
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(errorTable, value);
}

/** Gives back a BackplaneError: itself, or `internal` with the original as cause. */
export function toBackplaneError(error: unknown): BackplaneError {
  return error instanceof BackplaneError ? error : new BackplaneError("internal", { traceId: "" }, { cause: error });
}

function fillSentence(sentence: string, details: Record<string, unknown>): string {
  return sentence.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? "?").slice(0, 500));
}
