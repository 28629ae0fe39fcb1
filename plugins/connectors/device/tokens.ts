/** Device tokens: `<device id>.<secret>`. Only a hash of the secret is kept, in the installation's own files. */
import type { PluginContext } from "@backplane/plugin-api";

type Context = Pick<PluginContext, "storage" | "crypto">;

const pathOf = (deviceId: string): string => `tokens/${encodeURIComponent(deviceId)}`;

/** A new token; a former one of the device is refused from now on. */
export async function issueToken(deviceId: string, { storage, crypto: ours }: Context): Promise<string> {
  const secret = hex(crypto.getRandomValues(new Uint8Array(32)));
  await storage.put(pathOf(deviceId), hex(await ours.digest("SHA-256", secret)));
  return `${deviceId}.${secret}`;
}

export const revokeToken = (deviceId: string, { storage }: Context): Promise<boolean> =>
  storage.delete(pathOf(deviceId));

/** The device of a bearer token. */
export async function deviceOf(
  authorization: string | undefined,
  { storage, crypto: ours }: Context,
): Promise<string | undefined> {
  const [, deviceId, secret] = /^Bearer ([\w-]{1,200})\.([0-9a-f]{64})$/i.exec(authorization ?? "") ?? [];
  if (!deviceId || !secret) return undefined;
  const kept = await storage.get(pathOf(deviceId));
  if (!kept) return undefined;
  const given = hex(await ours.digest("SHA-256", secret));
  return (await ours.timingSafeEqual(given, new TextDecoder().decode(kept))) ? deviceId : undefined;
}

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
