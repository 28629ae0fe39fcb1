/** The hub's HTTP API as the CLI uses it. Every failure becomes a sentence with what helps; nothing is retried. */
import { CliFailure, helpFor } from "./failure.ts";
import type { HubAddress } from "./locate-hub.ts";

export interface HubRequest {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  raw?: { type: string; bytes: Uint8Array };
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** @default 120000; Infinity for streams */
  timeoutMs?: number;
}

export interface HubClient {
  readonly address: HubAddress;
  /** The parsed JSON answer; undefined for 204. Error: `CliFailure`. */
  call<T>(path: string, request?: HubRequest): Promise<T>;
  /** The open answer, for streams. Error: `CliFailure`. */
  open(path: string, request?: HubRequest): Promise<Response>;
}

export function connect(address: HubAddress): HubClient {
  const open: HubClient["open"] = async (
    path,
    { method = "GET", body, raw, query = {}, headers = {}, signal, timeoutMs = 120_000 } = {},
  ) => {
    const url = new URL(address.url + path);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const payload = raw ? { body: Buffer.from(raw.bytes) } : body === undefined ? {} : { body: JSON.stringify(body) };
    const signals = [
      ...(signal ? [signal] : []),
      ...(Number.isFinite(timeoutMs) ? [AbortSignal.timeout(timeoutMs)] : []),
    ];
    const response = await fetch(url, {
      method,
      ...payload,
      headers: {
        accept: "application/json",
        ...("body" in payload ? { "content-type": raw?.type ?? "application/json" } : {}),
        ...(address.token === undefined ? {} : { authorization: `Bearer ${address.token}` }),
        ...(address.organization === undefined ? {} : { "x-organization-id": address.organization }),
        ...headers,
      },
      // A redirect could carry the token to another host.
      redirect: "error",
      ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
    }).catch((error: unknown) => {
      throw unreachable(error, address);
    });
    if (!response.ok) throw await refused(response, address, path);
    return response;
  };
  return {
    address,
    open,
    async call<T>(path: string, request?: HubRequest): Promise<T> {
      const response = await open(path, request);
      const text = await response.text();
      if (text === "") return undefined as T;
      try {
        return JSON.parse(text) as T;
      } catch {
        throw new CliFailure(`What answers at ${address.url} is no Backplane hub.`, {
          code: "no_hub",
          help: "Check BACKPLANE_URL.",
        });
      }
    },
  };
}

/** The path of a plugin in the API; ids may hold a slash. */
export function pluginPath(id: string, rest = ""): string {
  return `/api/plugins/${encodeURIComponent(id)}${rest}`;
}

function unreachable(error: unknown, { url, urlFrom }: HubAddress): CliFailure {
  const cause = (error as { cause?: { code?: string } }).cause;
  const name = (error as Error).name;
  if (name === "TimeoutError")
    return new CliFailure(`The hub at ${url} did not answer in time.`, {
      code: "timeout",
      cause: error,
      help: "`backplane doctor` shows how it is.",
    });
  if (name === "AbortError") return new CliFailure("Stopped.", { code: "stopped", cause: error });
  const help =
    urlFrom === "BACKPLANE_URL"
      ? "Check BACKPLANE_URL, or start a hub there."
      : "Start one with `backplane start`, or set BACKPLANE_URL to where one runs.";
  const reason = cause?.code === undefined || cause.code === "ECONNREFUSED" ? "" : ` (${cause.code})`;
  return new CliFailure(`No hub answers at ${url}${reason}.`, { code: "no_hub", help, cause: error });
}

interface ProblemBody {
  code?: unknown;
  detail?: unknown;
  title?: unknown;
  recovery?: unknown;
  errors?: unknown;
  traceId?: unknown;
  executionId?: unknown;
}

async function refused(response: Response, address: HubAddress, path: string): Promise<CliFailure> {
  const text = await response.text().catch(() => "");
  let body: ProblemBody = {};
  try {
    body = (JSON.parse(text) ?? {}) as ProblemBody;
  } catch {
    // Something other than a hub answered, such as a proxy; the status has to do.
  }
  const code = typeof body.code === "string" ? body.code : `http_${response.status}`;
  const message =
    typeof body.detail === "string" ? body.detail : `The hub at ${address.url} answered ${response.status}.`;
  const faults = Array.isArray(body.errors) ? (body.errors as Record<string, unknown>[]) : [];
  const noToken = code === "unauthenticated" && address.token === undefined;
  const { help } = helpFor(code, typeof body.recovery === "string" ? body.recovery : undefined);
  const plugin = /^\/api\/plugins\/([^/?]+)/.exec(path)?.[1];
  return new CliFailure(
    noToken ? "This command needs a token, and none was found." : forPeople(message, faults.length > 0),
    {
      code,
      ...(help === undefined
        ? {}
        : { help: plugin === undefined ? help : help.replaceAll(/\bID\b/g, decodeURIComponent(plugin)) }),
      diagnostics: faults.map(({ path: field, message: sentence, line, column }) => ({
        field: String(field ?? "$"),
        message: String(sentence ?? ""),
        ...(typeof line === "number" ? { line } : {}),
        ...(typeof column === "number" ? { column } : {}),
      })),
      details: {
        status: response.status,
        ...(body.traceId === undefined ? {} : { traceId: body.traceId }),
        ...(body.executionId === undefined ? {} : { executionId: body.executionId }),
      },
    },
  );
}

/** The faults stand below the sentence here. */
function forPeople(sentence: string, hasFaults: boolean): string {
  return hasFaults ? sentence.replace(/; `errors` names each( field)?\.$/, ".") : sentence;
}
