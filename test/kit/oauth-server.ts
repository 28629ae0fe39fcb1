/**
 * An OAuth 2 service for tests, and an API that takes its tokens: authorisation endpoint that agrees at once, PKCE, rotating
 * refresh tokens with reuse detection (a second use revokes the whole grant), delays and failures on demand.
 */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

interface Grant {
  revoked: boolean;
  /** The only refresh token that is good. */
  refresh: string;
  scope: string;
}

interface Access {
  grant: Grant;
  endsAt: number;
}

export interface OAuthServer extends AsyncDisposable {
  /** For BACKPLANE_EGRESS_OVERRIDE: `login.vendor.com`, `api.vendor.com` and `other.vendor.com` lead here. */
  readonly override: string;
  /** Grants asked of the token endpoint, in order. */
  readonly tokenRequests: { grant: string; form: URLSearchParams; authorization: string | undefined }[];
  /** What was asked of the revocation endpoint, in order. */
  readonly revocations: URLSearchParams[];
  /** Requests to the API, in order. */
  readonly apiRequests: { host: string; path: string; headers: Record<string, string>; body: string }[];
  /** Seconds that access tokens are good for. */
  expiresIn: number | undefined;
  /** Whether every refresh brings a new refresh token. */
  rotate: boolean;
  /** Answers of the token endpoint from now on, instead of tokens. */
  failing: { status: number; body: unknown; headers?: Record<string, string> } | undefined;
  /** Time that the token endpoint takes, ms. */
  delayMs: number;
  /** Called when tokens were made and before they are sent. */
  beforeAnswer: (() => Promise<void> | void) | undefined;
  /** Queries of requests to `/never` whose asker has gone. */
  readonly hungUp: string[];
  /** Every access token that was given out ends. */
  expireAll(): void;
  /** Every grant is taken back. */
  revokeAll(): void;
  /** Access and refresh tokens given out so far. */
  readonly issued: readonly string[];
  /** Refresh tokens that were used a second time. */
  readonly reused: number;
  /** What a browser does with the hub's authorisation address: agrees, and gives the address it is sent back to. */
  agree(url: string): Promise<URL>;
}

export async function startOAuthServer(): Promise<OAuthServer> {
  const codes = new Map<string, { challenge: string | null; redirectUri: string; clientId: string; scope: string }>();
  const grants: Grant[] = [];
  const refreshes = new Map<string, Grant>();
  const accesses = new Map<string, Access>();
  const issued: string[] = [];

  const tokensFor = (grant: Grant, withRefresh: boolean): Record<string, unknown> => {
    const access = `at-${randomBytes(18).toString("base64url")}`;
    accesses.set(access, {
      grant,
      endsAt: server.expiresIn === undefined ? Number.POSITIVE_INFINITY : Date.now() + server.expiresIn * 1000,
    });
    issued.push(access);
    if (withRefresh) {
      grant.refresh = `rt-${randomBytes(18).toString("base64url")}`;
      refreshes.set(grant.refresh, grant);
      issued.push(grant.refresh);
    }
    return {
      access_token: access,
      token_type: "Bearer",
      scope: grant.scope,
      ...(server.expiresIn === undefined ? {} : { expires_in: server.expiresIn }),
      ...(withRefresh ? { refresh_token: grant.refresh } : {}),
    };
  };

  async function token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request));
    server.tokenRequests.push({
      grant: form.get("grant_type") ?? "",
      form,
      authorization: request.headers.authorization,
    });
    if (server.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, server.delayMs));
    if (server.failing) return answer(response, server.failing.status, server.failing.body, server.failing.headers);
    const answered = grantOf(form);
    await server.beforeAnswer?.();
    answer(response, "error" in answered ? 400 : 200, answered);
  }

  function grantOf(form: URLSearchParams): Record<string, unknown> {
    const invalid = { error: "invalid_grant", error_description: "The grant is gone." };
    switch (form.get("grant_type")) {
      case "authorization_code": {
        const code = codes.get(form.get("code") ?? "");
        codes.delete(form.get("code") ?? "");
        if (!code || code.redirectUri !== form.get("redirect_uri")) return invalid;
        const verifier = form.get("code_verifier") ?? "";
        if (code.challenge !== null && createHash("sha256").update(verifier).digest("base64url") !== code.challenge)
          return invalid;
        const grant: Grant = { revoked: false, refresh: "", scope: code.scope };
        grants.push(grant);
        return tokensFor(grant, true);
      }
      case "refresh_token": {
        const given = form.get("refresh_token") ?? "";
        const grant = refreshes.get(given);
        if (!grant || grant.revoked) return invalid;
        if (grant.refresh !== given) {
          counts.reused += 1;
          grant.revoked = true;
          return invalid;
        }
        return tokensFor(grant, server.rotate);
      }
      case "client_credentials":
        return tokensFor({ revoked: false, refresh: "", scope: form.get("scope") ?? "" }, false);
      default:
        return { error: "unsupported_grant_type" };
    }
  }

  async function revoke(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request));
    server.revocations.push(form);
    if (server.failing) return answer(response, server.failing.status, server.failing.body, server.failing.headers);
    const grant = refreshes.get(form.get("token") ?? "");
    if (grant) grant.revoked = true;
    answer(response, 200, undefined);
  }

  async function api(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const body = await text(request);
    server.apiRequests.push({ host: headers["host"] ?? "", path: url.pathname, headers, body });
    if (url.pathname === "/never") {
      // Answered never: `hungUp` tells when the other side has gone.
      response.once("close", () => server.hungUp.push(url.search));
      return;
    }
    if (url.pathname === "/echo") return answer(response, 200, { headers, body, query: url.search });
    if (url.pathname === "/away")
      return answer(response, 307, undefined, { location: "https://other.vendor.com/echo" });
    const bearer = /^Bearer (.+)$/.exec(headers["authorization"] ?? "")?.[1] ?? "";
    const access = accesses.get(bearer);
    if (!access || access.grant.revoked || access.endsAt <= Date.now())
      return answer(response, 401, { error: "token" });
    if (url.pathname === "/busy")
      return answer(
        response,
        429,
        { error: "slow" },
        {
          "retry-after": decodeURIComponent(url.search.slice(1)) || "7",
        },
      );
    if (url.pathname === "/page") {
      const page = Number(url.searchParams.get("page"));
      return answer(response, 200, { items: [page * 2, page * 2 + 1], next: page < 4 ? page + 1 : null });
    }
    answer(response, 200, { me: "ada", body });
  }

  const http = createServer((request, response) => {
    const url = new URL(request.url ?? "/", `https://${request.headers.host}`);
    const work =
      url.hostname === "login.vendor.com" && url.pathname.endsWith("/token")
        ? token(request, response)
        : url.pathname === "/revoke"
          ? revoke(request, response)
          : api(request, response, url);
    work.catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  http.unref();
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const counts = { reused: 0 };

  const server: OAuthServer = {
    override: JSON.stringify(
      Object.fromEntries(["login", "api", "other"].map((name) => [`${name}.vendor.com`, origin])),
    ),
    tokenRequests: [],
    revocations: [],
    apiRequests: [],
    expiresIn: 3600,
    rotate: true,
    failing: undefined,
    delayMs: 0,
    beforeAnswer: undefined,
    issued,
    hungUp: [],
    get reused() {
      return counts.reused;
    },
    expireAll() {
      for (const access of accesses.values()) access.endsAt = 0;
    },
    revokeAll() {
      for (const grant of grants) grant.revoked = true;
    },
    async agree(address) {
      const url = new URL(address);
      const code = randomBytes(12).toString("base64url");
      codes.set(code, {
        challenge: url.searchParams.get("code_challenge"),
        redirectUri: url.searchParams.get("redirect_uri") ?? "",
        clientId: url.searchParams.get("client_id") ?? "",
        scope: url.searchParams.get("scope") ?? "",
      });
      const back = new URL(url.searchParams.get("redirect_uri") ?? "");
      back.searchParams.set("code", code);
      back.searchParams.set("state", url.searchParams.get("state") ?? "");
      return back;
    },
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
