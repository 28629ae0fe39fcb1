/** Whether grants allow something. Grants were checked by the grammar when they were given; what is asked for is exact. */
import { covers } from "../manifest/covers.ts";
import { hostFault, isWildcardHost } from "../manifest/host-name.ts";

/** True when one of `granted` is or includes `needed`. */
export function permits(granted: readonly string[], needed: string): boolean {
  return granted.some((held) => covers(held, needed));
}

/** `host` as `new URL(…).hostname` gives it. Anything but a plain public host name is refused, whatever was granted. */
export function hostAllowed(granted: readonly string[], host: string): boolean {
  return hostFault(host) === undefined && !isWildcardHost(host) && permits(granted, `network:outbound:${host}`);
}

/** Host patterns of the grants, as egress takes them: `api.vendor.com`, `*.vendor.com`. */
export function grantedHosts(granted: readonly string[]): string[] {
  const prefix = "network:outbound:";
  return granted.filter((held) => held.startsWith(prefix)).map((held) => held.slice(prefix.length));
}
