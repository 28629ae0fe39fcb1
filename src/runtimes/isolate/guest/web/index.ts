/**
 * Puts the web's globals into an isolate, before any plugin code. There is no `fetch` among them: requests go through
 * `ctx.http`, when they are granted.
 */
import { AbortController, AbortSignal, useTimers } from "./abort.ts";
import { atob, btoa, decodeBase64, installUint8ArrayBase64 } from "./base64.ts";
import { Blob, File } from "./blob.ts";
import { createConsole } from "./console.ts";
import { createCrypto } from "./crypto.ts";
import { DOMException } from "./dom-exception.ts";
import { CustomEvent, Event, EventTarget, onListenerError } from "./events.ts";
import { FormData } from "./form-data.ts";
import { Headers } from "./headers.ts";
import type { GuestHost } from "./host-port.ts";
import { inspect } from "./inspect.ts";
import { defineProperty, floor, hidden } from "./primordials.ts";
import { seedRandom } from "./random.ts";
import { Request } from "./request.ts";
import { Response } from "./response.ts";
import { platformPrototypes, structuredClone } from "./structured-clone.ts";
import { CryptoKey, createSubtle } from "./subtle.ts";
import { TextDecoder, TextEncoder } from "./text-encoding.ts";
import { createTimers } from "./timers.ts";
import { URL } from "./url.ts";
import { URLSearchParams } from "./url-search-params.ts";

/** Where the runner leaves base64 of at least 32 random bytes before the prelude runs; removed at once. */
export const seedName = "__backplaneSeed";
const systemClock = Date.now;

export interface WebControls {
  /** Adds 32 bytes or more of randomness. */
  seedRandom(seed: Uint8Array): void;
}

export function installWebApis(global: object, host: GuestHost): WebControls {
  const scope = global as Record<string, unknown>;
  const now = host.now ?? systemClock;
  const { send } = host;
  const report = (error: unknown, where: string): void =>
    send("log.write", ["error", `Uncaught in ${where}: ${inspect(error)}`]);
  onListenerError(report);

  const timers = createTimers(host, report);
  useTimers((ms, fn) => host.setTimer(ms, fn));
  const crypto = createCrypto(createSubtle(host.call));
  const timeOrigin = now();
  const performance = { timeOrigin, now: () => floor(now() - timeOrigin) };
  defineProperty(crypto, Symbol.toStringTag, { value: "Crypto", configurable: true });

  const classes = {
    AbortController,
    AbortSignal,
    Blob,
    CryptoKey,
    CustomEvent,
    DOMException,
    Event,
    EventTarget,
    File,
    FormData,
    Headers,
    Request,
    Response,
    TextDecoder,
    TextEncoder,
    URL,
    URLSearchParams,
  };
  for (const name of Object.keys(classes)) {
    const { prototype } = classes[name as keyof typeof classes];
    // A DOMException clones as an error does; the others hold state that a copy would lose.
    if (name !== "DOMException") platformPrototypes.add(prototype);
  }
  hidden(scope, {
    ...classes,
    ...timers,
    atob,
    btoa,
    console: createConsole(host, now),
    crypto,
    navigator: Object.freeze({ userAgent: "Backplane/0.1" }),
    performance,
    self: scope,
    structuredClone,
  });
  installUint8ArrayBase64();

  const seed = scope[seedName];
  delete scope[seedName];
  if (typeof seed === "string") {
    const bytes = decodeBase64(seed);
    if (bytes !== undefined) seedRandom(bytes);
  }
  return { seedRandom };
}
