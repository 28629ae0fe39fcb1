/**
 * Puts secret values where a request holds their handles: headers (Basic credentials included), query and body, each in the
 * encoding of its place, and only toward hosts the secret is bound to. Pure: the values come in through `lookUp`.
 */
import { matchesAnyHost } from "../base/host-pattern.ts";
import { BackplaneError } from "../errors/error.ts";
import { findHandles, HANDLE_PREFIX, replaceHandles } from "./handle.ts";

export interface FillableRequest {
  url: string;
  /** Canonical host of `url`. */
  host: string;
  headers: [name: string, value: string][];
  body: Uint8Array | undefined;
  /** A redirect led here from another host: headers with secrets that may not follow are dropped instead of refused. */
  crossHost: boolean;
}

export interface KnownSecret {
  field: string;
  hosts: readonly string[];
  /** Hosts the present manifest asks for but nobody has agreed to yet. */
  pendingHosts: readonly string[];
  value: string;
  /** It is the access token of a connection of this name rather than a field of the configuration. */
  connection?: string;
  /** It came with an answer of this host, and goes nowhere else. */
  keptFrom?: string;
}

/** The secret behind a handle. Errors: `secret_misused` for a strange handle, `secret_unreadable`. */
export type LookUpSecret = (handle: string) => KnownSecret;

const MAX_FILLS = 100;

/** Returns the request to send and the fields used in it. Errors: `secret_misused`, `secret_unreadable`. */
export function fillRequest<T extends FillableRequest>(
  request: T,
  lookUp: LookUpSecret,
): { request: T; used: string[] } {
  const used = new Set<string>();
  let fills = 0;
  const valueFor = (handle: string): KnownSecret => {
    const secret = lookUp(handle);
    fills += 1;
    if (fills > MAX_FILLS) throw misused(secret.field, `it appears more than ${MAX_FILLS} times in one request`);
    if (secret.keptFrom !== undefined && secret.keptFrom !== request.host)
      throw misused(secret.field, `it came from ${secret.keptFrom} and is sent to no other host`);
    if (!matchesAnyHost(secret.hosts, request.host)) {
      const pending = matchesAnyHost(secret.pendingHosts, request.host);
      const of = secret.connection === undefined ? "field" : "connection";
      const approval = secret.connection === undefined ? "waits for approval" : "needs the connection made again";
      throw misused(
        secret.connection ?? secret.field,
        pending
          ? `its use toward ${request.host} is new and ${approval}`
          : `it is not bound to ${request.host}; name the host in the ${of}'s \`hosts\``,
      );
    }
    used.add(secret.field);
    return secret;
  };
  const url = fillUrl(request.url, valueFor);
  const headers = fillHeaders(request, lookUp, valueFor);
  const body = fillBody(request, valueFor);
  return { request: { ...request, url, headers, body }, used: [...used] };
}

/** Every handle in the places of a request that are filled. */
export function handlesIn({ url, headers, body }: FillableRequest): string[] {
  const found = headers.flatMap(([, value]) => findHandles(basicCredentials(value) ?? value));
  if (url.includes(HANDLE_PREFIX)) found.push(...findHandles(new URL(url).search));
  const bytes = body && Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes?.includes(HANDLE_PREFIX)) found.push(...findHandles(bytes.toString("latin1")));
  return found;
}

type ValueFor = (handle: string) => KnownSecret;

function fillUrl(text: string, valueFor: ValueFor): string {
  const url = new URL(text);
  const elsewhere = `${url.username} ${url.password} ${url.hostname} ${url.pathname} ${safeDecode(url.pathname)}`;
  if (elsewhere.includes(HANDLE_PREFIX)) {
    const field = findHandles(elsewhere)[0]?.split(".")[2] ?? "?";
    throw misused(field, "secrets are never put into the host or path of a URL, where logs would keep them");
  }
  if (!url.search.includes(HANDLE_PREFIX)) return text;
  url.search = replaceHandles(url.search, (handle) => encodeForm(valueFor(handle).value));
  return url.href;
}

function fillHeaders(request: FillableRequest, lookUp: LookUpSecret, valueFor: ValueFor): [string, string][] {
  const filled: [string, string][] = [];
  for (const [name, value] of request.headers) {
    if (name.includes(HANDLE_PREFIX)) throw misused("?", "secrets are never put into the name of a header");
    const basic = basicCredentials(value);
    const handles = findHandles(basic ?? value);
    if (handles.length === 0) {
      filled.push([name, value]);
      continue;
    }
    if (request.crossHost && handles.some((handle) => !matchesAnyHost(lookUp(handle).hosts, request.host))) continue;
    if (basic !== undefined) {
      const credentials = replaceHandles(basic, (handle) => Buffer.from(valueFor(handle).value).toString("latin1"));
      filled.push([name, `Basic ${Buffer.from(credentials, "latin1").toString("base64")}`]);
    } else {
      filled.push([name, replaceHandles(value, (handle) => headerSafe(valueFor(handle)))]);
    }
  }
  return filled;
}

/** The decoded `user:password` of a Basic header. */
function basicCredentials(value: string): string | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2})\s*$/i.exec(value)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("latin1");
}

function headerSafe({ field, value }: KnownSecret): string {
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
    throw misused(field, "its value has a line break or a character that headers cannot hold");
  return value;
}

function fillBody({ headers, body }: FillableRequest, valueFor: ValueFor): Uint8Array | undefined {
  if (body === undefined) return undefined;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (!bytes.includes(HANDLE_PREFIX)) return body;
  const encode = encodingOf(headers, bytes);
  // Latin-1 maps bytes to characters one to one, so that a body that is not UTF-8 keeps every other byte.
  const text = replaceHandles(bytes.toString("latin1"), (handle) =>
    Buffer.from(encode(valueFor(handle).value)).toString("latin1"),
  );
  return new Uint8Array(Buffer.from(text, "latin1"));
}

function encodingOf(headers: readonly [string, string][], bytes: Buffer): (value: string) => string {
  const header = headers.find(([name]) => name.toLowerCase() === "content-type");
  const type = header?.[1].replace(/;.*/s, "").trim().toLowerCase();
  if (type === "application/x-www-form-urlencoded") return encodeForm;
  if (type !== undefined && /[/+]xml$/.test(type)) return encodeXml;
  if (type !== undefined && /[/+](?:json|ndjson|x-ndjson|jsonl)$/.test(type)) return encodeJsonString;
  // Unlabelled or mislabelled JSON is common, and a quote in a secret must not end a string in it.
  if ((type === undefined || type === "text/plain") && isJson(bytes)) return encodeJsonString;
  return (value) => value;
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}

/** Safe in query strings and forms alike: `encodeURIComponent` leaves only unreserved characters and `!'()*`. */
export function encodeForm(value: string): string {
  const whole = value.isWellFormed() ? value : value.toWellFormed();
  return encodeURIComponent(whole).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function encodeJsonString(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

export function encodeXml(value: string): string {
  return value.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function misused(field: string, reason: string): BackplaneError {
  return new BackplaneError("secret_misused", { field, reason });
}
