/**
 * Knows whether the code that runs now runs inside a database transaction. Calls that leave the hub (invocation, egress)
 * ask here first: a transaction held across a wall would let a plugin keep rows locked.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { BackplaneError } from "../errors/error.ts";

interface Scope {
  open: boolean;
}

const scopes = new AsyncLocalStorage<Scope | undefined>();

export function insideTransaction(): boolean {
  return scopes.getStore()?.open === true;
}

/** `what` names the call in the error. Error: `wall_crossed_in_transaction`. */
export function assertOutsideTransaction(what: string): void {
  if (insideTransaction()) throw new BackplaneError("wall_crossed_in_transaction", { what });
}

/** Marks everything `work` awaits as inside a transaction; what outlives `work` counts as outside again. */
export async function runInTransactionScope<T>(work: () => Promise<T>): Promise<T> {
  const scope: Scope = { open: true };
  try {
    return await scopes.run(scope, work);
  } finally {
    scope.open = false;
  }
}

/** For long-lived things that are born inside a transaction by chance (listeners, reconnects): they are outside. */
export function runOutsideTransactionScope<T>(work: () => T): T {
  return scopes.run(undefined, work);
}
