/**
 * Meta's webhook handshake and signature: HMAC-SHA256, keyed with the app secret, over the body as it was received.
 * https://developers.facebook.com/docs/graph-api/webhooks/getting-started
 */
import type { PluginContext, SecretHandle, WebhookRequest, WebhookResponse } from "@backplane/plugin-api";

type Crypto = PluginContext["crypto"];

export async function isSignedByMeta(
  { headers, rawBody }: WebhookRequest,
  appSecret: SecretHandle,
  crypto: Crypto,
): Promise<boolean> {
  const signature = headers["x-hub-signature-256"];
  if (!signature) return false;
  const expected = await crypto.hmac({ hash: "SHA-256", key: appSecret, data: rawBody, encoding: "hex" });
  return crypto.timingSafeEqual(`sha256=${expected}`, signature);
}

/** Meta asks once, when the webhook is set up, and wants its challenge back as plain text. */
export async function answerHandshake(
  url: string,
  verifyToken: SecretHandle,
  crypto: Crypto,
): Promise<WebhookResponse> {
  const query = new URL(url).searchParams;
  const challenge = query.get("hub.challenge") ?? "";
  const isMeta =
    query.get("hub.mode") === "subscribe" &&
    /^[\w.-]{1,200}$/.test(challenge) &&
    (await crypto.timingSafeEqual(query.get("hub.verify_token") ?? "", verifyToken));
  return isMeta
    ? { status: 200, headers: { "content-type": "text/plain" }, body: challenge, accept: [] }
    : { status: 403, body: "the verify token is another one", accept: [] };
}
