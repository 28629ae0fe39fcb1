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

const outbound = "network:outbound";
const wildcardHost = `${outbound}:*`;

/** As src/manifest/covers.ts, which the guest cannot import; one table of tests holds for both. */
function covers(granted: string, wanted: string): boolean {
  if (begins(granted, `${outbound}:`)) {
    if (wanted === outbound) return true;
    if (!begins(granted, `${wildcardHost}.`) || !begins(wanted, `${outbound}:`)) return false;
    return ends(granted, wanted, wildcardHost.length) && wanted.length >= granted.length;
  }
  if (!begins(granted, "event:publish:") && !begins(granted, "event:subscribe:")) return false;
  const stem = granted.length - 1;
  if (granted[stem] !== "*" || granted[stem - 1] !== "." || wanted.length < granted.length) return false;
  for (let i = 0; i < stem; i++) if (granted[i] !== wanted[i]) return false;
  return true;
}

// Without the string's own methods: plugin code may have replaced them.
function begins(text: string, prefix: string): boolean {
  for (let i = 0; i < prefix.length; i++) if (text[i] !== prefix[i]) return false;
  return true;
}

/** Whether `text` ends with what `pattern` has from `from` on. */
function ends(pattern: string, text: string, from: number): boolean {
  const shift = text.length - pattern.length;
  for (let i = pattern.length - 1; i >= from; i--) if (text[i + shift] !== pattern[i]) return false;
  return true;
}
