/** Headers of requests and answers: what plugins may set, what the hub alone decides, and bounds on both. */
import { BackplaneError } from "../errors/error.ts";

export type HeaderList = [name: string, value: string][];

/** Framing, routing and hop-by-hop headers belong to the hub: a plugin's are dropped, as browsers do. */
const OURS = new Set([
  "accept-encoding",
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const MAX_HEADERS = 100;
const MAX_HEADER_BYTES = 32_768;

/** Lower-cases names, drops what is the hub's, refuses injection. Error: `egress_denied`. */
export function cleanRequestHeaders(host: string, headers: readonly (readonly [string, string])[]): HeaderList {
  const clean: HeaderList = [];
  let bytes = 0;
  for (const [rawName, rawValue] of headers) {
    const name = rawName.toLowerCase();
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$/.test(name))
      throw denied(host, "a header name holds characters that HTTP does not allow");
    if (OURS.has(name)) continue;
    const value = rawValue.replace(/^[ \t]+|[ \t]+$/g, "");
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw denied(host, `the value of header '${name}' holds a line break or a character outside Latin-1`);
    }
    bytes += name.length + value.length + 4;
    clean.push([name, value]);
  }
  if (clean.length > MAX_HEADERS) throw denied(host, `it has more than ${MAX_HEADERS} headers`);
  if (bytes > MAX_HEADER_BYTES) throw denied(host, `its headers are longer than ${MAX_HEADER_BYTES} bytes`);
  return clean;
}

/** From undici's flat raw list to pairs, without hop-by-hop headers. */
export function cleanResponseHeaders(raw: readonly string[]): HeaderList {
  const clean: HeaderList = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (!OURS.has(name) || name === "content-length") clean.push([name, raw[i + 1]!]);
  }
  return clean;
}

export function headerOf(headers: HeaderList, name: string): string | undefined {
  return headers.find(([candidate]) => candidate === name)?.[1];
}

function denied(host: string, reason: string): BackplaneError {
  return new BackplaneError("egress_denied", { host, reason });
}
