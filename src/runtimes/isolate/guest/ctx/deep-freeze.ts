/** Freezes JSON data all the way down, without recursion: a config may be nested deeper than a stack is. */
import { freeze, isFrozen, objectKeys } from "../web/primordials.ts";

export function deepFreeze<T>(root: T): T {
  const queue: unknown[] = [root];
  for (let i = 0; i < queue.length; i++) {
    const value = queue[i];
    if (typeof value !== "object" || value === null || isFrozen(value)) continue;
    const names = objectKeys(value);
    for (let n = 0; n < names.length; n++) queue[queue.length] = (value as Record<string, unknown>)[names[n] as string];
    freeze(value);
  }
  return root;
}
