/** The error that a failed ability call rejects with, whatever shape the pump gives it in. */
import { apply, defineProperty, objectKeys, promiseThen } from "./primordials.ts";

const NativeError = Error as ErrorConstructor & { captureStackTrace?: (error: object, below: unknown) => void };
const captureStackTrace = NativeError.captureStackTrace;

export class AbilityError extends Error {
  declare readonly code: string;
}
defineProperty(AbilityError, "name", { value: "AbilityError", configurable: true });
defineProperty(AbilityError.prototype, "name", { value: "AbilityError", writable: true, configurable: true });

/** Fields of the error itself; the rest (`status`, `body`, `retryAfter`, …) is copied over. */
const own = {
  __proto__: null,
  name: 1,
  message: 1,
  stack: 1,
  cause: 1,
  constructor: 1,
  __proto: 1,
} as unknown as Record<string, 1>;

export function toAbilityError(reason: unknown): unknown {
  if (typeof reason !== "object" || reason === null) return reason;
  const fields = reason as Record<string, unknown>;
  // What the guest itself threw (an abort, a bug) has no code of the hub: it stays as it is.
  if (typeof fields["code"] !== "string" || fields["name"] === "AbortError") return reason;
  const error = new AbilityError(typeof fields["message"] === "string" ? fields["message"] : "");
  const names = objectKeys(fields);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (own[name] === 1 || name === "__proto__") continue;
    defineProperty(error, name, { value: fields[name], enumerable: true, configurable: true, writable: true });
  }
  if (error.code === undefined) defineProperty(error, "code", { value: fields["code"], enumerable: true });
  // Where the plugin called from, instead of where the answer came in.
  if (captureStackTrace !== undefined) apply(captureStackTrace, NativeError, [error, toAbilityError]);
  return error;
}

/** The promise, with a rejection turned into an {@link AbilityError}. */
export function withAbilityErrors(promise: Promise<unknown>): Promise<unknown> {
  return promiseThen(promise, undefined, (reason) => {
    throw toAbilityError(reason);
  });
}
