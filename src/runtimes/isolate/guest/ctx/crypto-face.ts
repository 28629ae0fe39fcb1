/** `ctx.crypto`: what works with sealed secrets, by the hub, and the web's `subtle` and `randomUUID` beside it. */
import { defineProperty, freeze } from "../web/primordials.ts";
import { randomUuid } from "../web/random.ts";
import { createSubtle, type Subtle } from "../web/subtle.ts";
import { encodeUtf8 } from "../web/text-encoding.ts";
import { fromWire, textOrWire, toWire } from "../web/wire-bytes.ts";
import type { Call } from "./index.ts";

interface HmacOptions {
  hash?: string;
  key: unknown;
  data: unknown;
  encoding?: "hex" | "base64" | "base64url" | "bytes";
}

export function createCryptoFace(given: Record<string, true>, call: Call): object {
  const face: Record<string, unknown> = { randomUUID: () => randomUuid() };
  if (given["crypto.digest"]) {
    face["digest"] = async (algorithm: string, data: unknown) => {
      const wire = typeof data === "string" ? toWire(encodeUtf8(data)) : textOrWire(data, "The data");
      return fromWire(await call("crypto.digest", [algorithm, wire]));
    };
  }
  if (given["crypto.hmac"]) {
    face["hmac"] = async ({ hash = "SHA-256", key, data, encoding = "bytes" }: HmacOptions) => {
      const answer = await call("crypto.hmac", [
        { hash, key: textOrWire(key, "The key"), data: textOrWire(data, "The data"), encoding },
      ]);
      return typeof answer === "string" ? answer : fromWire(answer);
    };
  }
  if (given["crypto.timingSafeEqual"]) {
    face["timingSafeEqual"] = async (a: unknown, b: unknown) =>
      await call("crypto.timingSafeEqual", [textOrWire(a, "The first value"), textOrWire(b, "The second value")]);
  }
  if (given["crypto.subtle"]) {
    // Made when it is first asked for: most calls never do, and it is the dearest face.
    let subtle: Subtle | undefined;
    defineProperty(face, "subtle", {
      enumerable: true,
      get: () => {
        subtle ??= freeze(createSubtle(call));
        return subtle;
      },
    });
  }
  return freeze(face);
}
