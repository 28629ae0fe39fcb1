/** `comms.MessageStatus` events of channel plugins: what a service reports of a message that went out here. Only the plugin that sent it may speak of it. */
import { isObject } from "../base/json.ts";
import { RetryLater } from "../bus/delivery.ts";
import type { EventRecord } from "../bus/event-record.ts";
import type { Store } from "../store/store.ts";
import type { HubEventHandler } from "../subscriptions/subscriptions.ts";
import type { AttemptOutcomes, StatusReport } from "./attempt-outcomes.ts";
import { isFailure, parseMessageStatus } from "./message-status.ts";
import { type Attempt, attemptFromRow } from "./outbound-message.ts";
import { shortText } from "./receipt.ts";

export interface StatusEventsOptions {
  store: Store;
  outcomes: Pick<AttemptOutcomes, "reported">;
}

const pluginSource = "/plugins/";
/** A report may come before the receipt that tells the service's id is written: so long it is kept. */
const earlyMs = 10 * 60 * 1000;
const lookAgainMs = 1_000;

export function createStatusEvents({ store, outcomes }: StatusEventsOptions): HubEventHandler {
  const find = async (plugin: string, { organization, data }: EventRecord): Promise<Attempt | undefined> => {
    const { messageId, externalId } = isObject(data) ? data : {};
    const rows = store.db
      .selectFrom("outbound_messages")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin);
    const id = shortText(messageId, 200);
    const byId = id === undefined ? undefined : await rows.where("id", "=", id).executeTakeFirst();
    if (byId) return attemptFromRow(byId);
    const name = shortText(typeof externalId === "number" ? String(externalId) : externalId, 400);
    if (name === undefined) return undefined;
    const row = await rows.where("external_id", "=", name).orderBy("created_at", "desc").limit(1).executeTakeFirst();
    return row && attemptFromRow(row);
  };

  const isSending = async (organization: string, plugin: string): Promise<boolean> => {
    const row = await store.db
      .selectFrom("outbound_messages")
      .select("id")
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .where("state", "=", "sending")
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  };

  return async ({ event }) => {
    if (!event.source.startsWith(pluginSource)) return;
    const plugin = event.source.slice(pluginSource.length);
    const report = readReport(event);
    if (!report) return;
    const attempt = await find(plugin, event);
    if (attempt) return outcomes.reported(attempt, report);
    const age = Date.now() - Date.parse(event.time);
    if (age < earlyMs && (await isSending(event.organization, plugin)))
      // Less and less often, for a plugin can make up any number of messages that nobody knows.
      throw new RetryLater(Math.max(lookAgainMs, age / 2), "a message is being sent whose receipt may name it");
  };
}

/** Of the service, when it is not of the future. */
function timeOf(value: unknown): Date | undefined {
  const ms = typeof value === "string" && value.length <= 40 ? Date.parse(value) : Number.NaN;
  return ms > 0 && ms <= Date.now() ? new Date(ms) : undefined;
}

function readReport({ data, time }: EventRecord): StatusReport | undefined {
  if (!isObject(data)) return undefined;
  const word = shortText(data["providerStatus"], 64) ?? shortText(data["status"], 64);
  const known = parseMessageStatus(data["status"]) ?? parseMessageStatus(word);
  if (known === undefined) return undefined;
  const status = known === "queued" || known === "sending" ? "sent" : known;
  const { errorCode, error } = data;
  const code = typeof errorCode === "number" ? String(errorCode) : shortText(errorCode, 100);
  const message = typeof error === "string" ? error.slice(0, 1000) : undefined;
  return {
    status,
    providerStatus: word,
    externalId: shortText(data["externalId"], 400),
    fault: isFailure(status)
      ? { code: code ?? status, message: message ?? `The service reported: ${word ?? status}.` }
      : undefined,
    at: timeOf(data["at"]) ?? new Date(time),
  };
}
