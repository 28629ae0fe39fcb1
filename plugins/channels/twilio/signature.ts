/**
 * Twilio's request signature (https://www.twilio.com/docs/usage/security#validating-requests): base64 of HMAC-SHA1, keyed
 * with the auth token, over the full URL followed, for form posts, by every parameter sorted by name as name + value. A JSON
 * post carries `bodySHA256` in the URL instead. Twilio is not consistent about the port, so both spellings count.
 */
import type { PluginContext, SecretHandle, WebhookRequest } from "@backplane/plugin-api";

export async function isSignedByTwilio(
  request: WebhookRequest,
  authToken: SecretHandle,
  crypto: PluginContext["crypto"],
): Promise<boolean> {
  const signature = request.headers["x-twilio-signature"];
  if (!signature) return false;
  const url = new URL(request.url);
  const bodyHash = url.searchParams.get("bodySHA256");
  if (
    bodyHash !== null &&
    !(await crypto.timingSafeEqual(hex(await crypto.digest("SHA-256", request.rawBody)), bodyHash.toLowerCase()))
  )
    return false;
  const parameters = bodyHash === null && isForm(request) ? signedParameters(request.rawBody) : "";
  for (const spelling of urlSpellings(request.url)) {
    const expected = await crypto.hmac({
      hash: "SHA-1",
      key: authToken,
      data: spelling + parameters,
      encoding: "base64",
    });
    if (await crypto.timingSafeEqual(expected, signature)) return true;
  }
  return false;
}

export const isForm = (request: WebhookRequest): boolean =>
  (request.headers["content-type"] ?? "").toLowerCase().startsWith("application/x-www-form-urlencoded");

/** Several values of one name are made unique, sorted, and each written with the name. */
function signedParameters(rawBody: string): string {
  const values = new Map<string, Set<string>>();
  for (const [name, value] of new URLSearchParams(rawBody)) {
    const known = values.get(name) ?? new Set<string>();
    known.add(value);
    values.set(name, known);
  }
  return [...values.keys()]
    .sort()
    .map((name) =>
      [...values.get(name)!]
        .sort()
        .map((value) => name + value)
        .join(""),
    )
    .join("");
}

/** As it came, with the standard port written out, without any port, and with the query in the older encoding of each. */
function urlSpellings(text: string): string[] {
  const match = /^(https?):\/\/([^/?#:]+)(?::(\d+))?(.*)$/.exec(text);
  if (!match) return [text];
  const [, scheme, host, port, rest = ""] = match;
  const standard = scheme === "https" ? "443" : "80";
  const spellings = [text, `${scheme}://${host}:${port ?? standard}${rest}`, `${scheme}://${host}${rest}`];
  const legacy = spellings.map(legacyQuery);
  return [...new Set([...spellings, ...legacy])];
}

function legacyQuery(url: string): string {
  const at = url.indexOf("?");
  if (at < 0) return url;
  const parameters = new URLSearchParams(url.slice(at + 1));
  return `${url.slice(0, at)}?${[...parameters].map(([name, value]) => `${legacyEncode(name)}=${legacyEncode(value)}`).join("&")}`;
}

const legacyEncode = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
