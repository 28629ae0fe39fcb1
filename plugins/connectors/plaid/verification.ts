/**
 * Plaid's webhook signature (https://plaid.com/docs/api/webhooks/webhook-verification/): the header `Plaid-Verification` is
 * a JWT, signed with ES256 by a key that is fetched by its `kid`, no older than five minutes, which holds the SHA-256 of the
 * body as it came.
 */
import type { WebhookRequest } from "@backplane/plugin-api";
import { type Context, PlaidRefusal, post } from "./api.ts";

interface VerificationKey {
  alg: string;
  crv: string;
  kty: string;
  x: string;
  y: string;
  /** Seconds. */
  expired_at: number | null;
}

const maxAgeSeconds = 5 * 60;
/** A key is asked for again after this, so that one that Plaid has retired is noticed. */
const keyLifeMs = 60 * 60 * 1000;
/** Unknown key ids cost a request each, and anybody can send them. */
const maxLookUpsPerMinute = 20;

const keys = new Map<string, { key: VerificationKey; until: number }>();
let lookUps = { since: 0, count: 0 };

/** Too many unknown keys were named: the vendor may send the webhook again later. */
export class TooManyKeys extends Error {}

/** The JWT's time of issue in seconds, when it is Plaid's and belongs to this body; else undefined. */
export async function verifiedIssueTime(request: WebhookRequest, ctx: Context): Promise<number | undefined> {
  const [head, payload, signature, ...rest] = (request.headers["plaid-verification"] ?? "").split(".");
  if (head === undefined || payload === undefined || signature === undefined || rest.length > 0) return undefined;
  const header = readPart(head);
  const claims = readPart(payload);
  const signed = readBytes(signature);
  if (!header || !claims || signed?.length !== 64) return undefined;
  if (header["alg"] !== "ES256" || typeof header["kid"] !== "string") return undefined;
  if (typeof claims["iat"] !== "number" || Math.abs(Date.now() / 1000 - claims["iat"]) > maxAgeSeconds)
    return undefined;
  const hash = (await ctx.crypto.digest("SHA-256", request.rawBody)).toHex();
  if (!(await ctx.crypto.timingSafeEqual(hash, String(claims["request_body_sha256"] ?? "")))) return undefined;
  const key = await keyFor(header["kid"], ctx);
  return key && (await isSignedWith(key, { signed, text: `${head}.${payload}` }, ctx)) ? claims["iat"] : undefined;
}

async function isSignedWith(
  { kty, crv, x, y }: VerificationKey,
  { signed, text }: { signed: Uint8Array<ArrayBuffer>; text: string },
  ctx: Context,
): Promise<boolean> {
  const { subtle } = ctx.crypto;
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = await subtle.importKey("jwk", { kty, crv, x, y }, algorithm, false, ["verify"]).catch(() => undefined);
  if (!key) return false;
  return subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signed, new TextEncoder().encode(text));
}

async function keyFor(kid: string, ctx: Context): Promise<VerificationKey | undefined> {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(kid)) return undefined;
  const known = keys.get(kid);
  const key = known && known.until > Date.now() ? known.key : await fetchKey(kid, ctx);
  if (key?.alg !== "ES256" || key.kty !== "EC" || key.crv !== "P-256") return undefined;
  return key.expired_at !== null && key.expired_at * 1000 <= Date.now() ? undefined : key;
}

async function fetchKey(kid: string, ctx: Context): Promise<VerificationKey | undefined> {
  const now = Date.now();
  if (now - lookUps.since > 60_000) lookUps = { since: now, count: 0 };
  lookUps.count += 1;
  if (lookUps.count > maxLookUpsPerMinute) throw new TooManyKeys("too many unknown key ids");
  try {
    const { key } = await post<{ key: VerificationKey }>(ctx, "/webhook_verification_key/get", { key_id: kid });
    if (keys.size >= 100) keys.clear();
    keys.set(kid, { key, until: now + keyLifeMs });
    return key;
  } catch (error) {
    if (error instanceof PlaidRefusal) return undefined;
    throw error;
  }
}

function readPart(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(readBytes(text) ?? new Uint8Array()));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Only the one spelling that the bytes have, so that no changed character goes unnoticed. */
function readBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
    return bytes.toBase64({ alphabet: "base64url", omitPadding: true }) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}
