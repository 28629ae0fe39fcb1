/** `comms.MessageRequested` events: a plugin asks for a message and the hub sends it, once per event. What cannot be sent is told by a `comms.MessageStatus` event. */
import { createHash } from "node:crypto";
import { asOrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import { DeadLetter } from "../bus/delivery.ts";
import type { EventLog } from "../bus/event-log.ts";
import { type EventRecord, hubEventIds } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import { inputFaults, inputSentence } from "../errors/input-faults.ts";
import type { Store } from "../store/store.ts";
import type { HubEventHandler } from "../subscriptions/subscriptions.ts";
import { eventSource } from "./message-entities.ts";
import type { MessageQueue } from "./queue-message.ts";
import type { RequestQuota } from "./request-quota.ts";
import { contentOf } from "./send-body.ts";
import { requestedSchema } from "./send-request.ts";

export interface RequestedEventsOptions {
  store: Store;
  eventLog: EventLog;
  queue: Pick<MessageQueue, "send">;
  quota: RequestQuota;
}

/** Idempotency key of the message that an event asks for. */
export const requestKey = (eventId: string): string => `event:${eventId}`;

/** Id of the event that tells that a request could not be met. */
export const failedRequestId = (eventId: string): string =>
  `${hubEventIds}message-request:${createHash("sha256").update(eventId).digest("hex")}`;

export function createRequestedEvents({ store, eventLog, queue, quota }: RequestedEventsOptions): HubEventHandler {
  const tell = (event: EventRecord, depth: number, error: BackplaneError): Promise<unknown> => {
    const { channel, to, contactId, plugin } = isObject(event.data) ? event.data : {};
    const text = (value: unknown): string | null => (typeof value === "string" ? value.slice(0, 400) : null);
    return store.transaction((tx) =>
      eventLog.publish(tx, {
        organization: event.organization,
        id: failedRequestId(event.id),
        type: "comms.MessageStatus",
        source: eventSource,
        ...(event.subject === undefined ? {} : { subject: event.subject }),
        data: {
          messageId: null,
          requestId: event.id,
          channel: text(channel),
          provider: text(plugin),
          externalId: null,
          to: text(to),
          contactId: text(contactId),
          status: "failed",
          providerStatus: null,
          errorCode: error.code,
          error: [error.message, ...(error.errors ?? []).map(({ path, message }) => `${path}: ${message}`)]
            .join(" ")
            .slice(0, 1000),
        },
        traceparent: event.traceparent,
        depth: depth + 1,
      }),
    );
  };

  return async ({ event, depth }) => {
    try {
      const parsed = requestedSchema.safeParse(event.data, { error: inputSentence });
      if (!parsed.success)
        throw new BackplaneError("invalid_input", {}, { errors: inputFaults(parsed.error, { root: "$", most: 10 }) });
      const { channel, plugin, to, contactId, fallback } = parsed.data;
      const organization = asOrganizationId(event.organization);
      await queue.send({
        organization,
        channel,
        plugin,
        to,
        contactId,
        fallback,
        content: contentOf(parsed.data),
        idempotencyKey: requestKey(event.id),
        actor: `event:${event.id}`,
        traceparent: event.traceparent,
        depth,
        admit: () => quota(organization, event),
      });
    } catch (error) {
      if (!(error instanceof BackplaneError) || error.row.status >= 500) throw error;
      await tell(event, depth, error);
      // Kept with its reason: once the channel is there, or the contact has an address, it can be tried again.
      throw new DeadLetter(error.code, error.message, { cause: error });
    }
  };
}
