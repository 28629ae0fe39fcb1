/** `ctx.http`: `fetch` by the web's rules, and Made Open's `get` and `post` over it. */
import { abortable } from "../web/abort.ts";
import { isBlob } from "../web/blob.ts";
import { type BodyContent, takeContent } from "../web/body.ts";
import { isFormData } from "../web/form-data.ts";
import { Headers, headerPairs } from "../web/headers.ts";
import type { GuestHost } from "../web/host-port.ts";
import { asBytes, defineProperty, freeze } from "../web/primordials.ts";
import { Request, type RequestInit, requestSignal } from "../web/request.ts";
import { type Response, responseFromHost } from "../web/response.ts";
import { isParams } from "../web/url-search-params.ts";
import { toWire } from "../web/wire-bytes.ts";
import type { Call } from "./index.ts";

/** What `get` and `post` throw when the status is not 2xx. */
class HttpError extends Error {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Record<string, string>;
  readonly url: string;
  declare readonly retryAfter?: number;

  constructor(response: Response, body: unknown) {
    super(`The server answered ${response.status}${response.statusText === "" ? "" : ` ${response.statusText}`}`);
    this.status = response.status;
    this.body = body;
    this.url = response.url;
    this.headers = Object.fromEntries(headerPairs(response.headers));
    const retryAfter = secondsUntil(response.headers.get("retry-after"));
    if (retryAfter !== undefined) this.retryAfter = retryAfter;
  }
}
defineProperty(HttpError, "name", { value: "HttpError", configurable: true });
defineProperty(HttpError.prototype, "name", { value: "HttpError", writable: true, configurable: true });

const web = /^https?:/;

/** `Retry-After` as seconds from now: a number, or an HTTP date; a date that has passed is 0. */
function secondsUntil(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^\s*\d{1,9}(?:\.\d+)?\s*$/.test(text)) return Math.ceil(Number(text));
  if (!/^\s*[A-Z][a-z]{2,8},? [\w -]{5,12} \d\d:\d\d:\d\d (?:GMT|\d{4})\s*$/.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}

/** Tells requests of this isolate apart that can be aborted. */
let requests = 0;

export function createHttpFace(call: Call, send: GuestHost["send"]): object {
  async function fetch(input: string | Request, init?: RequestInit & { seal?: unknown }): Promise<Response> {
    const request = new Request(input, init);
    const seal = init?.seal;
    const { method, url, redirect } = request;
    if (!web.test(url)) throw new TypeError("Only http and https URLs can be requested");
    const content = takeContent(request);
    const signal = requestSignal(request);
    const id = signal === undefined ? undefined : `${++requests}`;
    const answer = await abortable(
      call("http.fetch", [
        {
          url,
          method,
          headers: headerPairs(request.headers),
          ...(content !== null && { body: wireBody(content) }),
          ...(redirect !== "follow" && { redirect }),
          ...(id !== undefined && { id }),
          ...(seal !== undefined && { seal }),
        },
      ]),
      signal,
      () => send("http.abort", [id]),
    );
    return responseFromHost(answer, url);
  }

  async function getOrPost(url: string, init: RequestInit & { seal?: unknown }): Promise<unknown> {
    const response = await fetch(`${url}`, init);
    const body = await parsedBody(response);
    if (!response.ok) throw new HttpError(response, body);
    return body;
  }

  return freeze({
    fetch,
    get: async (url: string, headers?: Record<string, string>, options?: { seal?: unknown }) =>
      getOrPost(url, { headers, seal: options?.seal }),
    post: async (url: string, body?: unknown, headers?: Record<string, string>, options?: { seal?: unknown }) => {
      const list = new Headers(headers);
      const init = { method: "POST", headers: list, seal: options?.seal };
      if (isRaw(body)) return getOrPost(url, { ...init, body });
      if (!list.has("content-type")) list.set("content-type", "application/json");
      return getOrPost(url, { ...init, body: body === undefined ? "" : JSON.stringify(body) });
    },
  });
}

function isRaw(body: unknown): boolean {
  return typeof body === "string" || isParams(body) || isFormData(body) || isBlob(body) || asBytes(body) !== undefined;
}

function wireBody(content: Exclude<BodyContent, null>): unknown {
  if (typeof content === "string") return content;
  return "base64" in content ? { $bytes: content.base64 } : toWire(content);
}

/** JSON when the answer says so, else text; null for an empty body that should have been JSON. */
async function parsedBody(response: Response): Promise<unknown> {
  const type = response.headers.get("content-type") ?? "";
  const text = await response.text();
  if (!/^[\w.-]+\/(?:[\w.-]+\+)?json\b/i.test(type)) return text;
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!response.ok) return text;
    throw new SyntaxError(`The answer of ${response.url} says it is JSON and is not`, { cause: error });
  }
}
