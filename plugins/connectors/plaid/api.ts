/**
 * Requests to Plaid (https://plaid.com/docs/api/): JSON posts with the credentials in headers, and errors that come as
 * `{error_type, error_code, error_message}` with status 400 (https://plaid.com/docs/errors/).
 */
import { isHttpError, type PluginContext, type SealAnswer, type SecretHandle } from "@backplane/plugin-api";

export interface Config {
  environment: "sandbox" | "production";
  clientId: string;
  secret: SecretHandle;
  clientName: string;
  language: string;
  countryCodes: string[];
  redirectUri?: string;
  historyDays: number;
}

export type Context = PluginContext<Config>;

/** Plaid understood the request and refuses it. Rate limits and failures of the network stay what they were. */
export class PlaidRefusal extends Error {
  readonly code: string;
  readonly type: string;
  constructor(path: string, { error_type, error_code, error_message }: ErrorBody) {
    super(`Plaid refuses ${path}: ${error_code}: ${error_message ?? "no reason given"}`);
    this.name = "PlaidRefusal";
    this.code = error_code;
    this.type = error_type ?? "";
  }
}

interface ErrorBody {
  error_type?: string;
  error_code: string;
  error_message?: string;
}

export async function post<T>(ctx: Context, path: string, body: object, options?: SealAnswer): Promise<T> {
  const { environment, clientId, secret } = ctx.config;
  const base = environment === "production" ? "https://production.plaid.com" : "https://sandbox.plaid.com";
  try {
    const headers = { "plaid-client-id": clientId, "plaid-secret": secret, "plaid-version": "2020-09-14" };
    return await ctx.http.post<T>(`${base}${path}`, body, headers, options);
  } catch (error) {
    if (isHttpError(error) && error.status !== 429 && error.status < 500 && isErrorBody(error.body))
      throw new PlaidRefusal(path, error.body);
    throw error;
  }
}

const isErrorBody = (body: unknown): body is ErrorBody =>
  typeof body === "object" && body !== null && typeof (body as ErrorBody).error_code === "string";

/** The person at the bank has to do something: sign in again, agree again (https://plaid.com/docs/errors/item/). */
export const needsThePerson = (error: unknown): error is PlaidRefusal =>
  error instanceof PlaidRefusal && error.type === "ITEM_ERROR";
