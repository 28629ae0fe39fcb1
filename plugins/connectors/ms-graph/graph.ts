/** Requests to Microsoft Graph (https://learn.microsoft.com/graph/api/overview): addresses, the sealed token, and its errors. */
import { isHttpError, type PluginContext, type SecretHandle } from "@backplane/plugin-api";

export interface Config {
  clientId: string;
  tenantId: string;
  clientSecret?: SecretHandle;
  mailbox?: string;
  mailFolders: string[];
  contactFolder?: string;
  pastDays: number;
  futureDays: number;
  countryCode?: string;
  /** The connection's, filled in by the hub on the way to Graph. */
  accessToken: SecretHandle;
}

export type Context = PluginContext<Config>;

export interface Page<Row> {
  value: Row[];
  "@odata.nextLink"?: string;
  "@odata.deltaLink"?: string;
}

/** Ids that stay when an item is moved: https://learn.microsoft.com/graph/outlook-immutable-id. */
export const immutableIds = 'IdType="ImmutableId"';

const root = "https://graph.microsoft.com/v1.0";

/** The account's own mailbox, or the one that is configured: `me` or `users/{id}`. */
export const mailboxPath = ({ mailbox }: Pick<Config, "mailbox">): string =>
  mailbox ? `users/${encodeURIComponent(mailbox)}` : "me";

export const addressOf = (ctx: Context, path: string): string => `${root}/${mailboxPath(ctx.config)}/${path}`;

export const subscriptionsAddress = `${root}/subscriptions`;

/** Errors: an HttpError for any status but 2xx; `connection_required` and the like of the connection. */
export function getJson<T>(ctx: Context, url: string, prefer: readonly string[] = []): Promise<T> {
  // Links of an answer are followed as they are, so they must not lead the token elsewhere.
  if (!url.startsWith("https://graph.microsoft.com/")) throw new Error(`Graph gave a link to another place: ${url}`);
  return ctx.http.get<T>(url, headersOf(ctx, prefer));
}

export function postJson<T>(ctx: Context, url: string, body: unknown, prefer: readonly string[] = []): Promise<T> {
  return ctx.http.post<T>(url, body, headersOf(ctx, prefer));
}

/** The status, since some of them are no failures to the caller. Other failures throw with Graph's own words. */
export async function change(
  ctx: Context,
  { method, url, body, fine = [] }: { method: "PATCH" | "DELETE"; url: string; body?: unknown; fine?: number[] },
): Promise<{ status: number; json: unknown }> {
  const answer = await ctx.http.fetch(url, {
    method,
    headers: {
      ...headersOf(ctx, [immutableIds]),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const json: unknown = answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : null;
  if (!answer.ok && !fine.includes(answer.status)) {
    const seconds = Number(answer.headers.get("retry-after") ?? Number.NaN);
    throw Object.assign(new Error(`Graph answered ${answer.status}: ${codeOf(json) ?? "no reason"}`), {
      status: answer.status,
      ...(seconds >= 0 ? { retryAfter: seconds } : {}),
    });
  }
  return { status: answer.status, json };
}

function headersOf(ctx: Context, prefer: readonly string[]): Record<string, string> {
  return {
    authorization: `Bearer ${ctx.config.accessToken}`,
    ...(prefer.length > 0 ? { prefer: prefer.join(", ") } : {}),
  };
}

/** Whether the state of a delta round is lost, so that it has to be started over (https://learn.microsoft.com/graph/delta-query-overview). */
export function isStateLost(error: unknown): boolean {
  if (isHttpError(error, 410)) return true;
  const code = isHttpError(error) && error.status < 500 ? codeOf(error.body)?.toLowerCase() : undefined;
  return code !== undefined && ["syncstatenotfound", "syncstateinvalid", "resyncrequired"].includes(code);
}

/** `error.code` of Graph's error answers. */
export function codeOf(body: unknown): string | undefined {
  const code = (body as { error?: { code?: unknown } } | null | undefined)?.error?.code;
  return typeof code === "string" ? code : undefined;
}
