/**
 * Host names as permissions and secrets name them: one canonical spelling (lower-case ASCII, punycode, no trailing dot,
 * never an IP address) and one way to match. Grants, egress and sealed secrets must agree, so all three use this file.
 */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** The canonical spelling of a host name, or `undefined` for what is none: IP literals in any spelling, ports, empty labels, trailing dots. */
export function canonicalHost(text: string): string | undefined {
  // domainToASCII percent-decodes nothing but maps full-width letters and dots; whatever it yields is checked below.
  if (text.length > 253 || /[\s%/\\:@?#[\]]/.test(text)) return undefined;
  const host = domainToASCII(text);
  if (host === "" || host.length > 253 || isIP(host) !== 0) return undefined;
  const labels = host.split(".");
  if (!labels.every((label) => LABEL.test(label))) return undefined;
  // A last label of digits (or 0x…) makes URL parsers read the whole as an IPv4 address.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1)!)) return undefined;
  return host;
}

/** Whether `host` (canonical) matches `pattern`: the host itself, or `*.domain` for any name below the domain, not the domain itself. */
export function matchesHost(pattern: string, host: string): boolean {
  if (!pattern.startsWith("*.")) return canonicalHost(pattern) === host;
  const domain = canonicalHost(pattern.slice(2));
  // `*.com` would open the whole of a top-level domain; the permission grammar refuses it as well.
  return domain?.includes(".") === true && host.endsWith(`.${domain}`) && host.length > domain.length + 1;
}

export function matchesAnyHost(patterns: readonly string[], host: string): boolean {
  return patterns.some((pattern) => matchesHost(pattern, host));
}
