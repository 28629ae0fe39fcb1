/** `Request`: what `ctx.http.fetch` sends. */
import { AbortSignal, createAbort } from "./abort.ts";
import { Body, type BodyContent, extractBody, shareContent, takeContent } from "./body.ts";
import { Headers } from "./headers.ts";
import { tag } from "./primordials.ts";
import { URL } from "./url.ts";

export interface RequestInit {
  method?: string;
  headers?: unknown;
  body?: unknown;
  redirect?: string;
  signal?: AbortSignal | null;
}

const known = /^(delete|get|head|options|post|put)$/i;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function methodOf(method: string): string {
  if (!token.test(method) || /^(connect|trace|track)$/i.test(method)) {
    throw new TypeError(`'${method.slice(0, 40)}' is not a method that can be used`);
  }
  return known.test(method) ? method.toUpperCase() : method;
}

interface Parts {
  method: string;
  url: string;
  headers: Headers;
  redirect: string;
  signal: AbortSignal | undefined;
  content: BodyContent;
}

const key = {};
/** The signal that was given, without making one. */
export let requestSignal: (request: Request) => AbortSignal | undefined;
let partsOf: (value: unknown) => Parts | undefined;

export class Request extends Body {
  #parts: Parts;

  static {
    requestSignal = (request) => request.#parts.signal;
    partsOf = (value) => (typeof value === "object" && value !== null && #parts in value ? value.#parts : undefined);
  }

  constructor(input: string | URL | Request, init?: RequestInit, ready?: { key: object; parts: Parts }) {
    const parts = ready !== undefined && ready.key === key ? ready.parts : fromInit(input, init ?? {});
    super(parts.content, () => parts.headers.get("content-type") ?? "");
    this.#parts = parts;
  }

  get method(): string {
    return this.#parts.method;
  }

  get url(): string {
    return this.#parts.url;
  }

  get headers(): Headers {
    return this.#parts.headers;
  }

  get redirect(): string {
    return this.#parts.redirect;
  }

  get signal(): AbortSignal {
    this.#parts.signal ??= createAbort().signal;
    return this.#parts.signal;
  }

  clone(): Request {
    const content = shareContent(this);
    const parts = { ...this.#parts, headers: new Headers(this.#parts.headers), content };
    return new Request(parts.url, undefined, { key, parts });
  }
}
tag(Request, "Request");

function fromInit(input: string | URL | Request, init: RequestInit): Parts {
  const from = partsOf(input);
  let url: string;
  if (from !== undefined) url = from.url;
  else {
    const parsed = new URL(`${input as string}`);
    if (parsed.username !== "" || parsed.password !== "") {
      throw new TypeError("A URL with credentials cannot be requested: use an authorization header");
    }
    url = parsed.href;
  }
  const method = init.method === undefined ? (from?.method ?? "GET") : methodOf(`${init.method}`);
  const headers = new Headers(init.headers ?? from?.headers);
  const redirect = init.redirect ?? from?.redirect ?? "follow";
  if (redirect !== "follow" && redirect !== "error" && redirect !== "manual") {
    throw new TypeError("`redirect` must be follow, error or manual");
  }
  const signal = init.signal === undefined ? from?.signal : (init.signal ?? undefined);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError("`signal` must be an AbortSignal");
  let content: BodyContent = null;
  if (init.body !== undefined && init.body !== null) {
    if (method === "GET" || method === "HEAD") throw new TypeError(`A ${method} request has no body`);
    const body = extractBody(init.body);
    if (body.type !== null && !headers.has("content-type")) headers.append("content-type", body.type);
    content = body.content;
  } else if (from !== undefined && init.body === undefined) content = takeContent(input as Request);
  return { method, url, headers, redirect, signal, content };
}
