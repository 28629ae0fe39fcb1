/** `ctx.permissions`: answered from the list the guest was given. Advice only; the hub decides. */
import { freeze } from "../web/primordials.ts";

export function createPermissionsFace(permissions: readonly string[]): object {
  return freeze({
    has(permission: string): boolean {
      const wanted = `${permission}`;
      for (let i = 0; i < permissions.length; i++) {
        const granted = permissions[i] as string;
        if (granted === wanted || covers(granted, wanted)) return true;
      }
      return false;
    },
  });
}

/** `event:publish:order.*` covers `event:publish:order.created`. */
function covers(granted: string, wanted: string): boolean {
  const stem = granted.length - 1;
  if (granted[stem] !== "*" || granted[stem - 1] !== "." || wanted.length <= stem) return false;
  for (let i = 0; i < stem; i++) if (granted[i] !== wanted[i]) return false;
  return true;
}
