/**
 * What the guest's web layer and `ctx` need from the pump. Never handed to plugin code: faces close over its functions and
 * call them directly, so that no poisoned `call`, `apply` or `then` ever sees them.
 */
export interface GuestHost {
  /** Resolves with the decoded answer; rejects with an error, or with its fields `{name, message, code, …}`. */
  call(ability: string, args: unknown[]): Promise<unknown>;
  /** One way: never answered, dropped over quota. */
  send(ability: string, args: unknown[]): void;
  setTimer(ms: number, fn: () => void): number;
  clearTimer(id: number): void;
  /** Epoch ms. @default the engine's clock */
  now?(): number;
}

/** How bytes look in the JSON that crosses the wall. */
export interface WireBytes {
  $bytes: string;
}
