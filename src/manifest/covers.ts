/** Whether one permission includes another. Both must have passed `parsePermission`; nothing is normalised here. */
import { matchesEventPattern } from "./event-pattern.ts";

const outbound = "network:outbound:";

/**
 * True when who holds `held` may do `needed`. A host covers only itself, never its sub-domains; `*.vendor.com` covers all
 * below `vendor.com` but not `vendor.com`; `order.*` covers `order.created` and `order.item.*`. Any host covers the bare
 * `network:outbound`, which by itself covers no host.
 */
export function covers(held: string, needed: string): boolean {
  if (held === needed) return true;
  if (held.startsWith(outbound)) {
    if (needed === "network:outbound") return true;
    if (!held.startsWith(`${outbound}*.`) || !needed.startsWith(outbound)) return false;
    const suffix = held.slice(outbound.length + 1);
    const host = needed.slice(outbound.length);
    return host.length > suffix.length && host.endsWith(suffix);
  }
  for (const namespace of ["event:publish:", "event:subscribe:"]) {
    if (held.startsWith(namespace)) {
      return (
        needed.startsWith(namespace) &&
        matchesEventPattern(held.slice(namespace.length), needed.slice(namespace.length))
      );
    }
  }
  return false;
}
