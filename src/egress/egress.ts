/**
 * The one guarded HTTP client: everything a plugin asks of the outside world passes here. Each hop is checked (URL, grants,
 * every address), connected to exactly the checked address, and capped in bytes and time. It knows no secrets: `onHop` and
 * `onAnswer` let the caller fill and redact them per hop, when the target host is certain.
 */
import type { Dispatcher } from "undici";
import { matchesAnyHost } from "../base/host-pattern.ts";
import { BackplaneError } from "../errors/error.ts";
import { assertOutsideTransaction } from "../store/transaction-scope.ts";
import { isPublicAddress } from "./address-policy.ts";
import { AnswerMemory, type Held } from "./answer-memory.ts";
import { ConnectFailure, Connections, type Destination } from "./connections.ts";
import { failureOf } from "./failure.ts";
import { cleanRequestHeaders, cleanResponseHeaders, type HeaderList, headerOf } from "./headers.ts";
import type { EgressOverride } from "./override.ts";
import { ACCEPT_ENCODING, readBody, tooLarge } from "./read-body.ts";
import { isRedirect, nextHop } from "./redirect.ts";
import { cacheResolver, createDnsResolver, type ResolveHost } from "./resolver.ts";
import { parseTarget, type Target } from "./target.ts";

export interface EgressRequest {
  url: string;
  /** @default "GET" */
  method?: string;
  headers?: readonly (readonly [string, string])[];
  body?: Uint8Array;
  /** Host patterns of the grants: `api.vendor.com`, `*.vendor.com`. */
  allowedHosts: readonly string[];
  /** Connections are reused only within one partition: pass the organisation (and installation). @default "" */
  partition?: string;
  /** For the whole exchange, redirects included, ms. @default 30000 */
  timeoutMs?: number;
  /** Bytes of the body after decompression. @default 10 MiB */
  maxResponseBytes?: number;
  /** Bytes of the body sent. @default 10 MiB */
  maxRequestBytes?: number;
  /** @default 5 */
  maxRedirects?: number;
  /** `manual` hands out the redirect itself, `error` fails on it. @default "follow" */
  redirect?: "follow" | "manual" | "error";
  signal?: AbortSignal;
  /** Called for every hop after its host was allowed; may change the query, headers and body, nothing else. */
  onHop?: (hop: EgressHop) => EgressHop | Promise<EgressHop>;
  /** Called with every answer (redirects too, without body) before anything else reads it. */
  onAnswer?: (answer: EgressResponse) => EgressResponse | Promise<EgressResponse>;
}

export interface EgressHop {
  url: string;
  /** Canonical host of `url`. */
  host: string;
  method: string;
  headers: HeaderList;
  body: Uint8Array | undefined;
  /** 0 for the first request, then one more per redirect. */
  index: number;
  /** A redirect led here from another host. */
  crossHost: boolean;
}

export interface EgressResponse {
  status: number;
  statusText: string;
  /** The last hop's URL as the caller wrote it: never with filled secrets. */
  url: string;
  headers: HeaderList;
  body: Uint8Array;
  redirected: boolean;
}

export interface EgressOptions {
  override?: EgressOverride;
  resolve?: ResolveHost;
  /** Told the end of every exchange, for metrics and records. */
  observe?: (exchange: EgressExchange) => void;
  userAgent?: string;
  maxPools?: number;
  connectionsPerPool?: number;
  /** Bytes of answers held at once, over all partitions. @default 256 MiB */
  maxHeldBytes?: number;
  /** Tests only: lets local servers stand for public ones. */
  testing?: { isAllowedAddress?: (address: string) => boolean; port?: number; ca?: string };
}

export interface EgressExchange {
  host: string;
  method: string;
  hops: number;
  /** Status, or the error's code. */
  outcome: number | string;
  ms: number;
  requestBytes: number;
  responseBytes: number;
}

export interface Egress {
  /** Errors: `egress_denied`, `egress_failed`, `egress_too_large`, `egress_timeout`, `cancelled`, and what the hooks throw. */
  fetch(request: EgressRequest): Promise<EgressResponse>;
  /** For `doctor`: hosts that are overridden. */
  readonly overridden: readonly string[];
  close(): Promise<void>;
}

/** What holds for one exchange, redirects included. */
interface Bounds {
  signal: AbortSignal;
  held: Held;
}

const MAX_ADDRESSES = 3;
const MEBIBYTE = 1_048_576;

export function createEgress(options: EgressOptions = {}): Egress {
  const override: EgressOverride = options.override ?? new Map();
  const resolve = options.resolve ?? cacheResolver(createDnsResolver());
  const isAllowedAddress = options.testing?.isAllowedAddress ?? isPublicAddress;
  const connections = new Connections({
    ...(options.maxPools === undefined ? {} : { maxPools: options.maxPools }),
    ...(options.connectionsPerPool === undefined ? {} : { connectionsPerPool: options.connectionsPerPool }),
    ...(options.testing?.ca === undefined ? {} : { ca: options.testing.ca }),
  });

  const memory = new AnswerMemory(options.maxHeldBytes ?? 256 * MEBIBYTE);

  return { fetch, overridden: [...override.keys()], close: () => connections.close() };

  async function fetch(request: EgressRequest): Promise<EgressResponse> {
    assertOutsideTransaction("egress");
    const timeoutMs = Math.max(1, request.timeoutMs ?? 30_000);
    const deadline = new AbortController();
    const timedOut = new DOMException("deadline", "TimeoutError");
    const timer = setTimeout(() => deadline.abort(timedOut), timeoutMs);
    const onAbort = (): void => deadline.abort(new BackplaneError("cancelled"));
    request.signal?.addEventListener("abort", onAbort, { once: true });
    if (request.signal?.aborted) onAbort();
    const exchange: EgressExchange = {
      host: "",
      method: request.method ?? "GET",
      hops: 0,
      outcome: "",
      ms: 0,
      requestBytes: 0,
      responseBytes: 0,
    };
    const started = performance.now();
    using held = memory.open(request.partition ?? "");
    try {
      const response = await follow(request, { signal: deadline.signal, held }, exchange);
      exchange.outcome = response.status;
      exchange.responseBytes = response.body.byteLength;
      return response;
    } catch (error) {
      const host = exchange.host || "the host";
      const failure =
        deadline.signal.aborted && deadline.signal.reason === timedOut
          ? new BackplaneError("egress_timeout", { host, limit: timeoutMs }, { cause: error })
          : deadline.signal.aborted
            ? new BackplaneError("cancelled", {}, { cause: error })
            : failureOf(host, error);
      exchange.outcome = failure.code;
      throw failure;
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", onAbort);
      exchange.ms = performance.now() - started;
      options.observe?.(exchange);
    }
  }

  async function follow(
    request: EgressRequest,
    { signal, held }: Bounds,
    exchange: EgressExchange,
  ): Promise<EgressResponse> {
    const mode = request.redirect ?? "follow";
    const maxRedirects = request.maxRedirects ?? 5;
    let hop = firstHop(request);
    for (;;) {
      const target = permit(hop.url, request.allowedHosts);
      exchange.host = target.host;
      exchange.hops += 1;
      hop = { ...hop, url: target.url.href, host: target.host, headers: cleanRequestHeaders(target.host, hop.headers) };
      const filled = request.onHop ? await unlessAborted(Promise.resolve(request.onHop(hop)), signal) : hop;
      const answer = await send(
        request,
        target,
        sameTarget(target, filled, request.maxRequestBytes),
        { signal, held },
        exchange,
      );
      const seen: EgressResponse = { ...answer, url: hop.url, redirected: hop.index > 0 };
      const response = request.onAnswer ? await request.onAnswer(seen) : seen;
      const location = isRedirect(response.status) ? headerOf(response.headers, "location") : undefined;
      if (location === undefined || mode === "manual") return { ...response, url: hop.url };
      if (mode === "error") throw failed(target.host, "it answered with a redirect");
      if (hop.index >= maxRedirects) throw failed(target.host, `it redirected more than ${maxRedirects} times`);
      hop = nextHop(hop, response.status, location);
    }
  }

  /** The URL, read strictly, and its host, granted. */
  function permit(url: string, allowedHosts: readonly string[]): Target {
    const target = parseTarget(url, (host) => override.has(host));
    if (!matchesAnyHost(allowedHosts, target.host)) {
      throw new BackplaneError("egress_denied", {
        host: target.host,
        reason: `the plugin was not granted 'network:outbound:${target.host}'`,
      });
    }
    return target;
  }

  async function send(
    request: EgressRequest,
    target: Target,
    hop: EgressHop,
    bounds: Bounds,
    exchange: EgressExchange,
  ): Promise<EgressResponse> {
    const { signal } = bounds;
    const candidates = await unlessAborted(destinationsOf(target, request.partition ?? ""), signal);
    exchange.requestBytes += hop.body?.byteLength ?? 0;
    let failure: unknown;
    for (const destination of candidates) {
      signal.throwIfAborted();
      using lease = connections.lease(destination);
      try {
        return await sendTo(lease.pool, request, hop, bounds);
      } catch (error) {
        if (!(error instanceof ConnectFailure)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async function sendTo(
    pool: Dispatcher,
    request: EgressRequest,
    hop: EgressHop,
    { signal, held }: Bounds,
  ): Promise<EgressResponse> {
    const url = new URL(hop.url);
    const answer = await pool.request({
      path: url.pathname + url.search,
      method: hop.method as Dispatcher.HttpMethod,
      headers: [...withDefaults(hop.headers, options.userAgent ?? "Backplane")].flat(),
      body: hop.body ?? null,
      responseHeaders: "raw",
      signal,
    });
    // A body that is destroyed unread emits an error; without a listener that would end the hub.
    answer.body.on("error", () => {});
    const raw = cleanResponseHeaders(answer.headers as unknown as string[]);
    const maxBytes = request.maxResponseBytes ?? 10 * MEBIBYTE;
    const base = { status: answer.statusCode, statusText: answer.statusText, url: hop.url, redirected: false };
    const hasBody = hop.method !== "HEAD" && answer.statusCode !== 204 && answer.statusCode !== 304;
    if (!hasBody || (isRedirect(answer.statusCode) && (request.redirect ?? "follow") !== "manual")) {
      await answer.body.dump({ limit: 65_536, signal });
      return {
        ...base,
        headers: hasBody ? without(raw, "content-length", "content-encoding") : raw,
        body: new Uint8Array(),
      };
    }
    const encoding = headerOf(raw, "content-encoding") ?? "";
    if (encoding === "" && Number(headerOf(raw, "content-length") ?? 0) > maxBytes) {
      answer.body.destroy();
      throw tooLarge(hop.host, maxBytes);
    }
    const hold = (bytes: number): void => held.add(hop.host, bytes);
    const body = await readBody(answer.body, { host: hop.host, encoding, maxBytes, signal, hold });
    return { ...base, headers: without(raw, "content-length", "content-encoding"), body };
  }

  /** Every answer must be public: a name with one private address is refused whole, so that no retry can reach it. */
  async function destinationsOf(target: Target, partition: string): Promise<Destination[]> {
    const { host } = target;
    const mapped = override.get(host);
    if (mapped) return [{ partition, host, ...mapped }];
    let addresses: string[];
    try {
      addresses = [...new Set(await resolve(host))];
    } catch (error) {
      throw new BackplaneError("egress_failed", { host, reason: "its name cannot be resolved" }, { cause: error });
    }
    if (addresses.length === 0) throw failed(host, "its name has no address");
    if (!addresses.every(isAllowedAddress)) {
      throw new BackplaneError("egress_denied", { host, reason: "its name leads to an address that is not public" });
    }
    const port = options.testing?.port ?? 443;
    const all = addresses.map((address): Destination => ({ partition, protocol: "https:", host, address, port }));
    // An open connection to an address that is still among the answers is used first.
    return all.toSorted((a, b) => Number(connections.has(b)) - Number(connections.has(a))).slice(0, MAX_ADDRESSES);
  }
}

function firstHop(request: EgressRequest): EgressHop {
  const method = (request.method ?? "GET").toUpperCase();
  if (!/^[A-Z][A-Z-]{0,31}$/.test(method) || method === "CONNECT" || method === "TRACE" || method === "TRACK") {
    throw new BackplaneError("egress_denied", { host: "the host", reason: "its method is not allowed" });
  }
  return {
    url: request.url,
    host: "",
    method,
    headers: (request.headers ?? []).map(([n, v]): [string, string] => [n, v]),
    body: request.body,
    index: 0,
    crossHost: false,
  };
}

/** What `onHop` gave back is checked again: it may fill values, not choose another target or smuggle headers. */
function sameTarget(target: Target, hop: EgressHop, maxBytes = 10 * MEBIBYTE): EgressHop {
  const url = new URL(hop.url);
  if (
    url.origin !== target.url.origin ||
    url.pathname !== target.url.pathname ||
    url.username ||
    url.password ||
    hop.url.length > 32_768
  ) {
    throw new BackplaneError("egress_denied", {
      host: target.host,
      reason: "its target changed while it was prepared",
    });
  }
  if ((hop.body?.byteLength ?? 0) > maxBytes) {
    throw new BackplaneError("egress_denied", {
      host: target.host,
      reason: `its body is larger than ${maxBytes} bytes`,
    });
  }
  return { ...hop, host: target.host, headers: cleanRequestHeaders(target.host, hop.headers) };
}

function withDefaults(headers: HeaderList, userAgent: string): HeaderList {
  const all: HeaderList = [...headers, ["accept-encoding", ACCEPT_ENCODING]];
  if (headerOf(headers, "user-agent") === undefined) all.push(["user-agent", userAgent]);
  if (headerOf(headers, "accept") === undefined) all.push(["accept", "*/*"]);
  return all;
}

function without(headers: HeaderList, ...names: string[]): HeaderList {
  return headers.filter(([name]) => !names.includes(name));
}

function failed(host: string, reason: string): BackplaneError {
  return new BackplaneError("egress_failed", { host, reason });
}

/** Waits for `work`, or rejects with the signal's reason; the work itself goes on unobserved. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) {
      work.catch(() => {});
      return onAbort();
    }
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
