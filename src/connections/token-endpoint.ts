/**
 * Conversations with a service's token endpoint, by openid-client, whose every request is led through the guarded client.
 * Knows no rows and keeps nothing: what to do about a failure is the caller's.
 */
import * as oauth from "openid-client";
import { isObject } from "../base/json.ts";
import type { Egress } from "../egress/egress.ts";
import { BackplaneError } from "../errors/error.ts";
import { createRedactor } from "../secrets/redactor.ts";
import type { Client } from "./declared.ts";

export interface TokenAnswer {
  accessToken: string;
  /** A new one when the service rotates them. */
  refreshToken: string | undefined;
  /** Seconds the access token is good for. */
  expiresIn: number | undefined;
  /** What was given, when the service says so. */
  scopes: string[] | undefined;
  /** Whose account it is, for people. */
  account: string | undefined;
}

/**
 * `rejected`: the service says that the grant itself is gone, so only a person helps. `misconfigured`: it does not know the
 * client. `failed`: anything that may pass by itself.
 */
export type TokenFailureKind = "rejected" | "misconfigured" | "failed";

export class TokenFailure extends Error {
  override readonly name = "TokenFailure";
  readonly kind: TokenFailureKind;
  /** Seconds, when the service named them. */
  readonly retryAfter: number | undefined;

  constructor(
    kind: TokenFailureKind,
    reason: string,
    options: { retryAfter?: number | undefined; cause?: unknown } = {},
  ) {
    super(reason, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.retryAfter = options.retryAfter;
  }
}

/** Who asks, and where requests may go. */
export interface TokenRequest {
  client: Client;
  /** Host patterns of the installation's grants. */
  allowedHosts: readonly string[];
  /** Connections are shared only within it. */
  partition: string;
}

export interface TokenEndpoint {
  /** Where a person agrees. */
  authorizationUrl(
    client: Client,
    values: { redirectUri: string; state: string; codeVerifier: string | undefined },
  ): Promise<string>;
  /** These and `refresh` and `clientCredentials` reject with `TokenFailure` alone. */
  exchangeCode(
    request: TokenRequest,
    values: { redirectUri: string; code: string; codeVerifier: string | undefined },
  ): Promise<TokenAnswer>;
  refresh(request: TokenRequest, refreshToken: string): Promise<TokenAnswer>;
  clientCredentials(request: TokenRequest): Promise<TokenAnswer>;
  /** Takes a token back at the client's `revocationUrl` (RFC 7009). Rejects with `TokenFailure` alone, after 5 s at most. */
  revoke(request: TokenRequest, token: string, kind: "refresh_token" | "access_token"): Promise<void>;
}

/** Wall time of one conversation, ms: well below the lease under which a refresh runs. */
export const tokenTimeoutMs = 20_000;
const revocationTimeoutMs = 5_000;
const maxAnswerBytes = 256 * 1024;
const maxTokenLength = 32_768;

/** RFC 6749 and OpenID Connect: a new consent or login is needed. */
const rejections = new Set([
  "invalid_grant",
  "interaction_required",
  "login_required",
  "consent_required",
  "account_selection_required",
]);
const misconfigurations = new Set([
  "invalid_client",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
  "invalid_request",
]);

export function createTokenEndpoint({ egress }: { egress: Pick<Egress, "fetch"> }): TokenEndpoint {
  /** Runs one grant; `heard` takes what openid-client does not hand on. */
  const converse = async (
    request: TokenRequest,
    secrets: readonly string[],
    grant: (config: oauth.Configuration) => Promise<oauth.TokenEndpointResponse>,
  ): Promise<TokenAnswer> => {
    const heard: Heard = {};
    const config = configurationOf(request.client);
    config.timeout = tokenTimeoutMs / 1000;
    config[oauth.customFetch] = (url, options) => guardedFetch(egress, request, { url, options, heard });
    try {
      return readAnswer(await grant(config), heard);
    } catch (error) {
      throw failureOf(error, heard, [...secrets, request.client.clientSecret ?? ""]);
    }
  };

  return {
    async authorizationUrl(client, { redirectUri, state, codeVerifier }) {
      const url = oauth.buildAuthorizationUrl(configurationOf(client), {
        ...client.parameters,
        redirect_uri: redirectUri,
        state,
        ...(client.scopes.length > 0 ? { scope: client.scopes.join(" ") } : {}),
        ...(codeVerifier === undefined
          ? {}
          : {
              code_challenge: await oauth.calculatePKCECodeChallenge(codeVerifier),
              code_challenge_method: "S256",
            }),
      });
      return url.href;
    },
    exchangeCode(request, { redirectUri, code, codeVerifier }) {
      const answered = new URL(redirectUri);
      answered.searchParams.set("code", code);
      return converse(request, [code, codeVerifier ?? ""], (config) =>
        oauth.authorizationCodeGrant(config, answered, {
          ...(codeVerifier === undefined ? {} : { pkceCodeVerifier: codeVerifier }),
        }),
      );
    },
    refresh: (request, refreshToken) =>
      converse(request, [refreshToken], (config) => oauth.refreshTokenGrant(config, refreshToken)),
    clientCredentials: (request) =>
      converse(request, [], (config) =>
        oauth.clientCredentialsGrant(
          config,
          request.client.scopes.length > 0 ? { scope: request.client.scopes.join(" ") } : {},
        ),
      ),
    async revoke(request, token, kind) {
      const heard: Heard = {};
      const config = configurationOf(request.client);
      config.timeout = revocationTimeoutMs / 1000;
      config[oauth.customFetch] = (url, options) => guardedFetch(egress, request, { url, options, heard });
      try {
        await oauth.tokenRevocation(config, token, { token_type_hint: kind });
      } catch (error) {
        throw failureOf(error, heard, [token, request.client.clientSecret ?? ""]);
      }
    },
  };
}

/** The issuer only names the server within the library; nothing is discovered and no id token is trusted. */
function configurationOf(client: Client): oauth.Configuration {
  const { clientSecret, clientAuthentication } = client;
  const authentication =
    clientSecret === undefined || clientAuthentication === "none"
      ? oauth.None()
      : clientAuthentication === "post"
        ? oauth.ClientSecretPost(clientSecret)
        : basicCredentials(clientSecret);
  return new oauth.Configuration(
    {
      issuer: new URL(client.tokenUrl).origin,
      token_endpoint: client.tokenUrl,
      ...(client.revocationUrl === undefined ? {} : { revocation_endpoint: client.revocationUrl }),
      ...(client.authorizationUrl === undefined ? {} : { authorization_endpoint: client.authorizationUrl }),
    },
    client.clientId,
    {},
    authentication,
  );
}

/**
 * RFC 6749 wants both form-encoded. openid-client encodes even `-`, which is right for those who decode; many services do
 * not, and a client id such as a UUID must reach them as it is.
 */
function basicCredentials(secret: string): oauth.ClientAuth {
  const encoded = (text: string): string => new URLSearchParams([["", text]]).toString().slice(1);
  return (_server, { client_id: id }, _body, headers) => {
    const credentials = Buffer.from(`${encoded(id)}:${encoded(secret)}`).toString("base64");
    headers.set("authorization", `Basic ${credentials}`);
  };
}

/** What the answer said beside what openid-client reads. */
interface Heard {
  status?: number;
  retryAfter?: number;
  account?: string;
}

interface GuardedFetch {
  url: string;
  options: oauth.CustomFetchOptions;
  heard: Heard;
}

async function guardedFetch(
  egress: Pick<Egress, "fetch">,
  { allowedHosts, partition }: TokenRequest,
  { url, options: { method, headers, body, signal }, heard }: GuardedFetch,
): Promise<Response> {
  const answer = await egress.fetch({
    url,
    method,
    headers: Object.entries(headers),
    body: new TextEncoder().encode(String(body ?? "")),
    allowedHosts,
    partition,
    redirect: "manual",
    timeoutMs: tokenTimeoutMs,
    maxResponseBytes: maxAnswerBytes,
    ...(signal ? { signal } : {}),
  });
  heard.status = answer.status;
  const retryAfter = Number(answer.headers.find(([name]) => name === "retry-after")?.[1]);
  if (retryAfter > 0 && retryAfter < 86_400) heard.retryAfter = retryAfter;
  const text = Buffer.from(answer.body).toString("utf8");
  const json = parse(text);
  // Challenges and cookies are nobody's business; an id token is only read for the name of the account.
  return new Response(json === undefined ? text : JSON.stringify(plainAnswer(json, answer.status, heard)), {
    status: answer.status,
    headers: { "content-type": json === undefined ? "text/plain" : "application/json" },
  });
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Services' own spellings as RFC 6749 has them: a token type that is left out, an error within a list (Fitbit). */
function plainAnswer(
  { id_token: idToken, ...json }: Record<string, unknown>,
  status: number,
  heard: Heard,
): Record<string, unknown> {
  const account = accountOf(idToken) ?? labelOf(json["email"] ?? json["user_id"]);
  if (account !== undefined) heard.account = account;
  if (status === 200) return { ...json, token_type: json["token_type"] ?? "bearer" };
  const [first] = Array.isArray(json["errors"]) ? json["errors"] : [];
  if (typeof json["error"] !== "string" && isObject(first) && typeof first["errorType"] === "string")
    return { ...json, error: first["errorType"] };
  return json;
}

/** It came from the token endpoint itself over TLS, and only a label is made of it. */
function accountOf(idToken: unknown): string | undefined {
  if (typeof idToken !== "string" || idToken.length > maxTokenLength) return undefined;
  const claims = parse(Buffer.from(idToken.split(".")[1] ?? "", "base64url").toString("utf8")) ?? {};
  return labelOf(claims["email"] ?? claims["preferred_username"] ?? claims["name"] ?? claims["sub"]);
}

function labelOf(value: unknown): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const label = String(value)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "")
    .trim()
    .slice(0, 200);
  return label === "" ? undefined : label;
}

function readAnswer(answer: oauth.TokenEndpointResponse, { account }: Heard): TokenAnswer {
  const { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn, scope } = answer;
  for (const token of [accessToken, refreshToken ?? ""]) {
    if (token.length > maxTokenLength) throw new TokenFailure("failed", "the service gave a token that is too long");
    if (!/^[\x20-\x7e]*$/.test(token))
      throw new TokenFailure("failed", "the service gave a token that no header holds");
  }
  return {
    accessToken,
    refreshToken,
    expiresIn: expiresIn === undefined ? undefined : Math.min(expiresIn, 10 * 365 * 86_400),
    scopes:
      scope === undefined
        ? undefined
        : scope
            .split(" ")
            .filter((one) => one !== "" && one.length <= 300)
            .slice(0, 100),
    account,
  };
}

function failureOf(error: unknown, heard: Heard, secrets: readonly string[]): TokenFailure {
  if (error instanceof TokenFailure) return error;
  const options = { cause: error, retryAfter: heard.retryAfter };
  if (error instanceof oauth.ResponseBodyError) {
    const code = /^[a-zA-Z0-9_.-]{1,60}$/.test(error.error) ? error.error : "an error";
    const kind = rejections.has(code) ? "rejected" : misconfigurations.has(code) ? "misconfigured" : "failed";
    return new TokenFailure(
      kind,
      `the service answered ${code}${described(error.error_description, secrets)}`,
      options,
    );
  }
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof BackplaneError) return new TokenFailure("failed", cause.message.replace(/\.$/, ""), options);
  const unreadable = "the service gave an answer that is no token answer";
  return new TokenFailure(
    "failed",
    heard.status === undefined || heard.status === 200
      ? unreadable
      : `the service answered with status ${heard.status}`,
    options,
  );
}

/** The service's own words: services like to quote what they were sent. */
function described(text: unknown, secrets: readonly string[]): string {
  if (typeof text !== "string") return "";
  const redactor = createRedactor(secrets.map((value) => ({ field: "token", value })));
  const shown = redactor
    .text(text)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\s]+/gu, " ")
    .trim()
    .slice(0, 300);
  return shown === "" ? "" : ` (${shown})`;
}
