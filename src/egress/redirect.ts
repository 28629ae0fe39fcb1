/** What a redirect turns a request into, after the Fetch standard's rules. The new hop is then checked like a first one. */
import { BackplaneError } from "../errors/error.ts";
import type { EgressHop } from "./egress.ts";

/** Belong to one host; the Fetch standard drops the first, the rest would leak a session as well. */
const CREDENTIALS = new Set(["authorization", "cookie", "cookie2", "proxy-authorization"]);

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** Error: `egress_denied` for a Location that is no URL. */
export function nextHop(hop: EgressHop, status: number, location: string): EgressHop {
  let url: URL;
  try {
    url = new URL(location, hop.url);
  } catch {
    throw new BackplaneError("egress_denied", {
      host: hop.host,
      reason: "it redirected to something that is not a URL",
    });
  }
  const crossHost = url.origin !== new URL(hop.url).origin;
  const becomesGet =
    ((status === 301 || status === 302) && hop.method === "POST") ||
    (status === 303 && hop.method !== "GET" && hop.method !== "HEAD");
  const headers = hop.headers.filter(
    ([name]) => !(crossHost && CREDENTIALS.has(name)) && !(becomesGet && name.startsWith("content-")),
  );
  return {
    ...hop,
    url: url.href,
    method: becomesGet ? "GET" : hop.method,
    headers,
    body: becomesGet ? undefined : hop.body,
    index: hop.index + 1,
    // Once away from the first host, credentials stay dropped, and secrets keep being re-checked.
    crossHost: hop.crossHost || crossHost,
  };
}
