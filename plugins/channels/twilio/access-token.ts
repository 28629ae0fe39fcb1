/**
 * Twilio's access token for browser and phone clients (https://www.twilio.com/docs/iam/access-tokens): a JWT, HS256, whose
 * header says `cty: twilio-fpa;v=1`, signed with the secret of an API key, which stays sealed.
 */
import type { PluginContext, SecretHandle } from "@backplane/plugin-api";

export interface TokenConfig {
  accountSid: string;
  apiKeySid?: string;
  apiKeySecret?: SecretHandle;
  twimlAppSid?: string;
}

/** Seconds; Twilio takes up to 24 hours. */
const lifetime = 3600;

/** `userId` becomes the client's identity: at most 121 letters, digits and `_` as Twilio asks. */
export async function createAccessToken(
  userId: string,
  { accountSid, apiKeySid, apiKeySecret, twimlAppSid }: TokenConfig,
  crypto: PluginContext["crypto"],
): Promise<string> {
  if (!apiKeySid || !apiKeySecret)
    throw new Error("Access tokens need `apiKeySid` and `apiKeySecret` in the configuration.");
  if (!/^[A-Za-z0-9_]{1,121}$/.test(userId))
    throw new Error("The user's id must be 1 to 121 letters, digits or `_`: it becomes the client's identity.");
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: "JWT", alg: "HS256", cty: "twilio-fpa;v=1" };
  const payload = {
    jti: `${apiKeySid}-${now}`,
    iss: apiKeySid,
    sub: accountSid,
    iat: now,
    nbf: now,
    exp: now + lifetime,
    grants: {
      identity: userId,
      voice: {
        incoming: { allow: true },
        ...(twimlAppSid ? { outgoing: { application_sid: twimlAppSid } } : {}),
      },
    },
  };
  const signed = `${encode(header)}.${encode(payload)}`;
  const signature = await crypto.hmac({ hash: "SHA-256", key: apiKeySecret, data: signed, encoding: "base64url" });
  return `${signed}.${signature}`;
}

const encode = (part: object): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(part))))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
