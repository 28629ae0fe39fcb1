/** `Response`: what `ctx.http.fetch` gives, and what plugins may build themselves. */
import { Body, type BodyContent, extractBody, shareContent } from "./body.ts";
import { Headers, lockHeaders } from "./headers.ts";
import { tag } from "./primordials.ts";
import { URL } from "./url.ts";

export interface ResponseInit {
  status?: number;
  statusText?: string;
  headers?: unknown;
}

interface Parts {
  type: string;
  url: string;
  redirected: boolean;
  status: number;
  statusText: string;
  headers: Headers;
  content: BodyContent;
}

const key = {};
const isNullStatus = (status: number): boolean => status === 101 || status === 204 || status === 205 || status === 304;
const reason = /^[\t\x20-\x7e\x80-\xff]*$/;

function fromInit(content: BodyContent, type: string | null, init: ResponseInit | undefined): Parts {
  const status = init?.status === undefined ? 200 : Math.trunc(Number(init.status));
  if (!(status >= 200 && status <= 599)) throw new RangeError("The status must be from 200 to 599");
  const statusText = `${init?.statusText ?? ""}`;
  if (!reason.test(statusText)) throw new TypeError("The status text has a character it cannot have");
  if (content !== null && isNullStatus(status)) throw new TypeError(`An answer with status ${status} has no body`);
  const headers = new Headers(init?.headers);
  if (type !== null && !headers.has("content-type")) headers.append("content-type", type);
  return { type: "default", url: "", redirected: false, status, statusText, headers, content };
}

export class Response extends Body {
  #parts: Parts;

  constructor(body?: unknown, init?: ResponseInit, ready?: { key: object; parts: Parts }) {
    let parts: Parts;
    if (ready !== undefined && ready.key === key) parts = ready.parts;
    else {
      const extracted = extractBody(body);
      parts = fromInit(extracted.content, extracted.type, init);
    }
    super(parts.content, () => parts.headers.get("content-type") ?? "");
    this.#parts = parts;
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data);
    if (text === undefined) throw new TypeError("The value has no JSON");
    return make(fromInit(text, "application/json", init));
  }

  static error(): Response {
    const headers = new Headers();
    lockHeaders(headers);
    return make({ type: "error", url: "", redirected: false, status: 0, statusText: "", headers, content: null });
  }

  static redirect(url: string | URL, status = 302): Response {
    if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError("The status is not one of a redirect");
    const headers = new Headers({ location: new URL(`${url as string}`).href });
    lockHeaders(headers);
    return make({ type: "default", url: "", redirected: false, status, statusText: "", headers, content: null });
  }

  get type(): string {
    return this.#parts.type;
  }
  get url(): string {
    return this.#parts.url;
  }
  get redirected(): boolean {
    return this.#parts.redirected;
  }
  get status(): number {
    return this.#parts.status;
  }
  get ok(): boolean {
    return this.#parts.status >= 200 && this.#parts.status <= 299;
  }
  get statusText(): string {
    return this.#parts.statusText;
  }
  get headers(): Headers {
    return this.#parts.headers;
  }

  clone(): Response {
    const content = shareContent(this);
    return make({ ...this.#parts, headers: new Headers(this.#parts.headers), content });
  }
}
tag(Response, "Response");

function make(parts: Parts): Response {
  return new Response(undefined, undefined, { key, parts });
}

/** The answer of an `http.fetch` ability call. */
export function responseFromHost(answer: unknown, requestUrl: string): Response {
  const { status, statusText, url, redirected, headers, body } = answer as Record<string, unknown>;
  const list = new Headers();
  for (const [name, value] of (headers ?? []) as [string, string][]) {
    try {
      list.append(name, value);
    } catch {
      // A server may send what no header can hold; the rest of the answer still counts.
    }
  }
  lockHeaders(list);
  const finalUrl = typeof url === "string" ? url : requestUrl;
  return make({
    type: "basic",
    url: finalUrl,
    redirected: typeof redirected === "boolean" ? redirected : finalUrl !== requestUrl,
    status: Number(status),
    statusText: `${statusText ?? ""}`,
    headers: list,
    content: bodyFromHost(body),
  });
}

function bodyFromHost(body: unknown): BodyContent {
  if (typeof body === "string") return body;
  const base64 = (body as { $bytes?: unknown } | null | undefined)?.$bytes;
  return typeof base64 === "string" && base64 !== "" ? { base64 } : null;
}
