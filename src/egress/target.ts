/**
 * Reads a URL that a plugin, or a server's redirect, asks for. Strict on purpose: two parsers that disagree about a URL
 * are the root of most bypasses, so any spelling the WHATWG parser would silently repair is refused.
 */
import { canonicalHost } from "../base/host-pattern.ts";
import { BackplaneError } from "../errors/error.ts";

export interface Target {
  url: URL;
  /** Canonical host name. */
  host: string;
}

const MAX_URL = 16_384;

/** `allowHttp` says whether plain http may be used for this host (test overrides only). Error: `egress_denied`. */
export function parseTarget(text: string, allowHttp: (host: string) => boolean = () => false): Target {
  if (text.length > MAX_URL) throw denied("the URL", `it is longer than ${MAX_URL} characters`);
  // Tabs, line breaks, spaces and backslashes are dropped or turned by URL parsers.
  if (/[\u0000-\u0020\u007f-\u00a0\\\u2028\u2029\ufeff]/.test(text))
    throw denied("the URL", "it holds a space, a backslash or a control character");
  const written = /^https?:\/\/([^/?#]*)/i.exec(text);
  if (!written) throw denied("the URL", "only absolute https:// URLs are allowed");
  const authority = written[1]!;
  if (authority.includes("@")) throw denied("the URL", "user names and passwords in URLs are refused; send a header");
  if (authority.includes("%")) throw denied("the URL", "its host holds percent signs");
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw denied("the URL", "it is not a valid URL");
  }
  const host = canonicalHost(url.hostname);
  if (host === undefined || host !== url.hostname) {
    throw denied("the URL", "its host must be a plain host name: no IP address, no trailing dot, no empty label");
  }
  if (host === "localhost" || host.endsWith(".localhost")) throw denied(host, "it names the hub's own machine");
  if (url.port !== "") throw denied(host, "only the default port is allowed");
  if (url.protocol !== "https:" && !allowHttp(host)) throw denied(host, "only https is allowed");
  url.hash = "";
  return { url, host };
}

function denied(host: string, reason: string): BackplaneError {
  return new BackplaneError("egress_denied", { host: host.slice(0, 253), reason });
}
