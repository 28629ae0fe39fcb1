/**
 * One delivery of kind `message`: an attempt is handed to its channel at the channel's pace, and whatever comes of it is written.
 * All waiting is `RetryLater`: an attempt counts its own tries, the delivery none.
 */

import { type BackoffOptions, backoffMs } from "../base/backoff.ts";
import { asPluginId } from "../base/brands.ts";
import { sleep } from "../base/deferred.ts";
import { type Delivery, RetryLater } from "../bus/delivery.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { InvokeOutcome, Invoker } from "../invocation/invoker.ts";
import type { Store } from "../store/store.ts";
import { parseTraceparent } from "../telemetry/trace.ts";
import { type AttemptOutcomes, type Fault, outcomeUnknown } from "./attempt-outcomes.ts";
import type { ChannelRate } from "./channel-rate.ts";
import { typesOf } from "./choose-channel.ts";
import { isFailure } from "./message-status.ts";
import { type Attempt, findAttempt } from "./outbound-message.ts";
import { readReceipt } from "./receipt.ts";
import { classifySendFailure } from "./send-failure.ts";

export interface CarryOptions {
  store: Store;
  invoker: Pick<Invoker, "run">;
  installations: Pick<Installations, "find">;
  rate: ChannelRate;
  outcomes: AttemptOutcomes;
  /** The plugin's webhook address, for services that take one with each message. */
  webhookUrl(installation: Installation): string | undefined;
  /** Tries of one attempt before it has failed. @default 6 */
  maxTries?: number;
  /** After this long a message is not worth sending any more. @default 24 h */
  maxAgeMs?: number;
  /** Between the tries of one attempt. @default from 2 s to 5 min */
  backoff?: BackoffOptions;
}

const defaultPerSecond = 10;
/** A turn that comes within this time is waited for here; it keeps one of few slots, which is what paces the rest. */
const waitHereMs = 5_000;
const holdMs = 30_000;

export function createCarrier(options: CarryOptions): (delivery: Delivery) => Promise<void> {
  const {
    store,
    invoker,
    installations,
    rate,
    outcomes,
    maxTries = 6,
    maxAgeMs = 24 * 60 * 60 * 1000,
    backoff = defaultBackoff,
  } = options;

  /** Waits for the channel's pace. Error: `RetryLater`. */
  const takeTurn = async (
    attempt: Attempt,
    { organization, plugin, manifest }: Installation,
    signal: AbortSignal,
  ): Promise<void> => {
    const perSecond = manifest.contributes.channel?.ratePerSecond ?? defaultPerSecond;
    const { taken, waitMs } = await rate.take({ organization, plugin, perSecond, withinMs: waitHereMs });
    if (!taken) {
      // Spread, and the more the longer a message has waited: a long backlog must not come back at one moment, again and again.
      const waited = Date.now() - Math.max(attempt.sendAt.getTime(), attempt.createdAt.getTime());
      const spreadMs = Math.max(1000 / perSecond, Math.min(waited / 4, 60_000));
      throw new RetryLater(waitMs + Math.random() * spreadMs, "the channel's rate");
    }
    if (waitMs > 0) await sleep(waitMs, signal);
    if (signal.aborted) throw new RetryLater(0, "it was stopped");
  };

  const call = async (
    attempt: Attempt,
    installation: Installation,
    signal: AbortSignal,
  ): Promise<InvokeOutcome | BackplaneError> => {
    const trace = attempt.traceparent === null ? undefined : parseTraceparent(attempt.traceparent);
    const webhookUrl = options.webhookUrl(installation);
    try {
      return await invoker.run({
        organization: attempt.organization,
        plugin: installation.plugin,
        kind: "channel",
        name: "sendMessage",
        args: [
          { id: attempt.id, to: attempt.to, ...attempt.content, ...(webhookUrl === undefined ? {} : { webhookUrl }) },
        ],
        actor: `message:${attempt.id}`,
        ...(trace ? { trace } : {}),
        eventDepth: attempt.depth,
        channel: attempt.channel,
        signal,
      });
    } catch (error) {
      // Thrown before the plugin ran, or when the record of a call could not be written: only the former is sure to have sent nothing.
      if (error instanceof BackplaneError && beforeItRan.has(error.code)) return error;
      throw error;
    }
  };

  const tryOnce = async (attempt: Attempt, installation: Installation, signal: AbortSignal): Promise<void> => {
    const outcome = await call(attempt, installation, signal);
    const error = outcome instanceof BackplaneError ? outcome : outcome.error;
    if (!(outcome instanceof BackplaneError) && !error) {
      const receipt = readReceipt(outcome.record.result);
      if (!isFailure(receipt.status)) return outcomes.sent(attempt, receipt);
      const message = `The service refused the message: ${receipt.providerStatus}.`;
      return outcomes.failed(attempt, { fault: { code: "refused", message }, fallBack: true });
    }
    const abilityCalls = outcome instanceof BackplaneError ? undefined : outcome.record.abilityCalls;
    await settleFailure({ attempt, installation, signal, error: error!, abilityCalls });
  };

  interface Failed {
    attempt: Attempt;
    installation: Installation;
    signal: AbortSignal;
    error: BackplaneError;
    abilityCalls: Readonly<Record<string, number>> | undefined;
  }

  const settleFailure = async ({ attempt, installation, signal, error, abilityCalls }: Failed): Promise<void> => {
    const failure = classifySendFailure({ error, abilityCalls });
    const fault = faultOf(error);
    switch (failure.kind) {
      case "sent":
        return outcomes.sent(attempt, readReceipt(undefined));
      case "refused":
        return outcomes.failed(attempt, { fault, fallBack: true });
      case "unknown":
        // Stopped from outside: whoever finds the row `sending` decides.
        if (signal.aborted) throw error;
        if (isIdempotent(installation) && attempt.tries < maxTries)
          throw new RetryLater(backoffMs(attempt.tries, backoff), fault.message);
        return outcomes.failed(attempt, { fault: unknownFault(fault), fallBack: false });
      case "again": {
        const { organization, plugin } = installation;
        if (failure.hold) await rate.hold({ organization, plugin, ms: failure.waitMs ?? holdMs });
        if (failure.counted && attempt.tries >= maxTries) return outcomes.failed(attempt, { fault, fallBack: true });
        await outcomes.putBack(attempt, { counted: failure.counted, fault });
        throw new RetryLater(failure.waitMs ?? backoffMs(attempt.tries, backoff), fault.message);
      }
    }
  };

  return async ({ organization, itemId, signal }) => {
    const attempt = await findAttempt(store.db, organization, itemId);
    if (!attempt || (attempt.state !== "queued" && attempt.state !== "sending")) return;
    const installation = await installations.find(attempt.organization, asPluginId(attempt.plugin!));
    // An earlier try began and nobody wrote how it ended: its hub or its lease was lost.
    const mayBeOut = attempt.state === "sending";
    if (mayBeOut && !(installation && isIdempotent(installation) && attempt.tries < maxTries)) {
      const lost = { code: "hub_lost", message: "The hub that was sending it was lost." };
      return outcomes.failed(attempt, { fault: unknownFault(lost), fallBack: false });
    }
    const fail = (code: string, message: string): Promise<void> =>
      outcomes.failed(attempt, { fault: { code, message }, fallBack: !mayBeOut });
    if (!installation || !typesOf(installation).includes(attempt.channel))
      return fail("channel_unavailable", `Plugin '${attempt.plugin}' has no channel '${attempt.channel}' any more.`);
    const due = Math.max(attempt.sendAt.getTime(), attempt.createdAt.getTime());
    if (Date.now() > due + maxAgeMs)
      return fail("expired", attempt.error ?? `It could not be sent within ${Math.round(maxAgeMs / 3_600_000)} hours.`);
    if (installation.status !== "active") throw new RetryLater(5_000, `plugin '${attempt.plugin}' is not active`);
    await takeTurn(attempt, installation, signal);
    const begun = await outcomes.begin(attempt);
    if (begun) await tryOnce(begun, installation, signal);
  };
}

const defaultBackoff: BackoffOptions = { baseMs: 2_000, capMs: 300_000 };

/** What `run` throws without having called the plugin. */
const beforeItRan: ReadonlySet<string> = new Set([
  "call_cycle",
  "call_depth_exceeded",
  "function_not_found",
  "invalid_parameters",
  "no_code",
  "not_found",
  "permission_denied",
  "plugin_not_active",
  "plugin_quarantined",
  "rate_limited",
  "shutting_down",
]);

const isIdempotent = ({ manifest }: Installation): boolean => manifest.contributes.channel?.idempotent === true;

const faultOf = ({ code, message }: BackplaneError): Fault => ({ code, message: message.slice(0, 1000) });

const unknownFault = ({ message }: Fault): Fault => ({
  code: outcomeUnknown,
  message: `It may or may not have been sent, and the service cannot tell a repetition, so it was not sent again. ${message}`,
});
