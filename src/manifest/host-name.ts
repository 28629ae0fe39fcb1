/**
 * Which host names a manifest or a grant may name. One spelling each: lower-case ASCII, punycode, no port, no trailing
 * dot; never an address, a local name or a public suffix. A wildcard `*.vendor.com` needs a registrable domain behind it.
 */
import { isIP } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { parse } from "tldts";
import { clip } from "./path.ts";

/** Names that mean "this network" somewhere; a public service is never under them. */
const localSuffixes = ["localhost", "local", "localdomain", "internal", "home.arpa", "arpa", "onion"];

/** Undefined when `text` is a host that may be named; else what is wrong and what to write instead. */
export function hostFault(text: string): string | undefined {
  if (text === "*") return "`*` would allow every host; name each host";
  if (!text.startsWith("*.")) return plainHostFault(text);
  const rest = text.slice(2);
  const fault = plainHostFault(rest);
  return fault === undefined ? undefined : `the part after \`*.\` is wrong: ${fault}`;
}

export function isWildcardHost(host: string): boolean {
  return host.startsWith("*.");
}

/** For people: `xn--bcher-kva.example` is shown with `bücher.example` beside it. */
export function showHost(host: string): string {
  const bare = isWildcardHost(host) ? host.slice(2) : host;
  const what = isWildcardHost(host) ? `any host below ${bare}` : bare;
  return bare.includes("xn--") ? `${what} (shown as ${clip(domainToUnicode(bare))})` : what;
}

function plainHostFault(text: string): string | undefined {
  if (text === "") return "it names no host";
  const shape = shapeFault(text);
  if (shape !== undefined) return shape;
  if (isAddress(text)) return "it is an IP address; name a host";
  const labels = text.split(".");
  if (text.length > 253 || labels.some((label) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label))) {
    return "it is not a host name: labels of letters, digits and `-`, joined by `.`";
  }
  for (const suffix of localSuffixes) {
    if (text === suffix || text.endsWith(`.${suffix}`))
      return `\`${clip(text)}\` is a name of a local network; name a public host`;
  }
  if (labels.some((label) => label.startsWith("xn--"))) {
    const shown = domainToUnicode(text);
    if (shown.includes("xn--") || domainToASCII(shown) !== text) return "it is not valid punycode";
  }
  const { domain, publicSuffix } = parse(text, { allowPrivateDomains: true });
  if (domain === null) {
    return publicSuffix === text && (labels.length > 1 || /^[a-z]{2,}$/.test(text))
      ? `\`${clip(text)}\` is a public suffix, which anyone can register under; name the host below it`
      : `\`${clip(text)}\` has a single label; name a public host`;
  }
  return undefined;
}

function shapeFault(text: string): string | undefined {
  if (text.includes("*")) return "`*` may only stand as the whole first label, as in `*.vendor.com`";
  if (text.includes("@")) return "it has user information (`@`); name only the host";
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return `it is a URL; name only the host${instead(hostOfUrl(text))}`;
  if (/[/\\?#]/.test(text)) return `it has a path; name only the host${instead(text.split(/[/\\?#]/)[0])}`;
  if (/[[\]%]/.test(text) || text.split(":").length > 2) return "it is an IP address; name a host";
  if (text.includes(":")) return `it has a port; name only the host${instead(text.split(":")[0])}`;
  if (/[^\x21-\x7e]/.test(text)) {
    const ascii = domainToASCII(text);
    if (ascii !== "" && isAddress(ascii)) return "it is an IP address; name a host";
    return `it has characters other than ASCII${instead(ascii)}`;
  }
  if (/[A-Z]/.test(text)) return `it has upper-case letters${instead(text.toLowerCase())}`;
  if (text.endsWith(".")) return `it ends with a dot${instead(text.replace(/\.+$/, ""))}`;
  return undefined;
}

/** Any spelling that a URL parser would read as an address: `1.2.3.4`, `2130706433`, `0x7f.1`, `017700000001`. */
function isAddress(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const last = text.replace(/\.$/, "").split(".").at(-1) ?? "";
  return /^([0-9]+|0x[0-9a-f]*)$/i.test(last);
}

function instead(host: string | undefined): string {
  return host !== undefined && host !== "" && plainHostFault(host) === undefined ? `: \`${clip(host, 253)}\`` : "";
}

function hostOfUrl(text: string): string | undefined {
  return URL.canParse(text) ? new URL(text).hostname : undefined;
}
