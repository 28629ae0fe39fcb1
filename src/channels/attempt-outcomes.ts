/** How an attempt goes on: each step is one transaction over the row, its entity, the event of a failure and the next attempt. */
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/deferred.ts";
import type { EventLog } from "../bus/event-log.ts";
import { hubEventIds } from "../bus/event-record.ts";
import type { Entities, EntityChange } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import { eventSource, messagePatch, writeFor } from "./message-entities.ts";
import { isFailure, type MessageStatus, raiseStatus } from "./message-status.ts";
import { type Attempt, lockAttempt } from "./outbound-message.ts";
import type { MessageQueue, Planned } from "./queue-message.ts";
import type { Receipt } from "./receipt.ts";

export interface AttemptOutcomesOptions {
  store: Store;
  eventLog: EventLog;
  entities: Pick<Entities, "writeBatch">;
  queue: Pick<MessageQueue, "planFallback" | "write">;
}

export interface Fault {
  code: string;
  message: string;
}

/** What a service told of a message later on. */
export interface StatusReport {
  /** At least `sent`: a service that tells of a message has it. */
  status: MessageStatus;
  providerStatus: string | undefined;
  externalId: string | undefined;
  fault: Fault | undefined;
  /** When it happened. */
  at: Date;
}

export interface AttemptOutcomes {
  /** Takes the attempt for one try: `undefined` when it is someone else's, or was cancelled. */
  begin(attempt: Attempt): Promise<Attempt | undefined>;
  /** It was certainly not sent and may be tried again. */
  putBack(attempt: Attempt, options: { counted: boolean; fault: Fault }): Promise<void>;
  sent(attempt: Attempt, receipt: Receipt): Promise<void>;
  /** It ends here. `fallBack`: the next channel has its turn. */
  failed(attempt: Attempt, options: { fault: Fault; fallBack: boolean }): Promise<void>;
  reported(attempt: Attempt, report: StatusReport): Promise<void>;
  /** Of one that is still queued. Error: `conflict`. */
  cancelled(tx: Tx, attempt: Attempt): Promise<void>;
}

/** A send whose end nobody knows; the only failure that a later receipt or report can take back. */
export const outcomeUnknown = "outcome_unknown";
/** A receipt is worth some patience with the database: without it, nobody will know that the message is out. */
const commitTries = 8;

export function createAttemptOutcomes({ store, eventLog, entities, queue }: AttemptOutcomesOptions): AttemptOutcomes {
  const commit = async (work: (tx: Tx) => Promise<void>): Promise<void> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await store.transaction(work);
      } catch (error) {
        if (!(error instanceof BackplaneError) || error.code !== "database_unavailable" || tries >= commitTries)
          throw error;
        await sleep(backoffMs(tries, { baseMs: 100, capMs: 5000 }));
      }
    }
  };

  const write = (tx: Tx, attempt: Attempt, changes: EntityChange[]): Promise<unknown> =>
    attempt.plugin === null ? Promise.resolve() : entities.writeBatch(tx, writeFor(attempt, attempt.plugin), changes);

  const planAfter = (attempt: Attempt, wanted: boolean): Promise<Planned[]> =>
    wanted && attempt.fallback.length > 0 ? queue.planFallback(attempt) : Promise.resolve([]);

  const update = async (tx: Tx, attempt: Attempt, patch: Partial<Attempt>): Promise<void> => {
    await tx
      .updateTable("outbound_messages")
      .set({
        ...(patch.state === undefined ? {} : { state: patch.state }),
        ...(patch.status === undefined ? {} : { status: patch.status }),
        ...(patch.tries === undefined ? {} : { tries: patch.tries }),
        ...(patch.externalId === undefined ? {} : { external_id: patch.externalId }),
        ...(patch.providerStatus === undefined ? {} : { provider_status: patch.providerStatus }),
        ...(patch.errorCode === undefined ? {} : { error_code: patch.errorCode }),
        ...(patch.error === undefined ? {} : { error: patch.error }),
        ...(patch.sentAt === undefined ? {} : { sent_at: patch.sentAt }),
        ...(patch.readAt === undefined ? {} : { read_at: patch.readAt }),
        updated_at: new Date(),
      })
      .where("organization_id", "=", attempt.organization)
      .where("id", "=", attempt.id)
      .execute();
  };

  const end = async (tx: Tx, attempt: Attempt, fault: Fault, planned: readonly Planned[]): Promise<void> => {
    await update(tx, attempt, { state: "failed", status: "failed", errorCode: fault.code, error: fault.message });
    await write(tx, attempt, [
      messagePatch(attempt, { status: "failed", errorCode: fault.code, error: fault.message }),
    ]);
    await publishFailure(tx, attempt, fault, planned);
    for (const next of planned) if (!(await queue.write(tx, next))) return;
  };

  const publishFailure = async (tx: Tx, attempt: Attempt, fault: Fault, planned: readonly Planned[]): Promise<void> => {
    const next = planned.at(-1)?.attempt;
    await eventLog.publish(tx, {
      organization: attempt.organization,
      id: `${hubEventIds}message:${attempt.id}:failed`,
      type: "comms.MessageStatus",
      source: eventSource,
      subject: attempt.id,
      data: {
        messageId: attempt.id,
        channel: attempt.channel,
        provider: attempt.plugin,
        externalId: attempt.externalId,
        status: "failed",
        providerStatus: attempt.providerStatus,
        errorCode: fault.code,
        error: fault.message,
        conversationId: attempt.conversation,
        contactId: attempt.contact,
        to: attempt.to,
        fallbackMessageId: next?.state === "queued" ? next.id : null,
      },
      traceparent: attempt.traceparent ?? undefined,
      depth: attempt.depth + 1,
    });
  };

  /** What stands under a failure that is only a guess. */
  const firmStatus = (attempt: Attempt): MessageStatus =>
    attempt.errorCode === outcomeUnknown ? "sending" : attempt.status;

  return {
    async begin(attempt) {
      const row = await store.db
        .updateTable("outbound_messages")
        .set({ state: "sending", status: "sending", tries: attempt.tries + 1, updated_at: new Date() })
        .where("organization_id", "=", attempt.organization)
        .where("id", "=", attempt.id)
        .where("state", "=", attempt.state)
        .where("tries", "=", attempt.tries)
        .returning("id")
        .executeTakeFirst();
      return row && { ...attempt, state: "sending", status: "sending", tries: attempt.tries + 1 };
    },

    putBack: (attempt, { counted, fault }) =>
      commit(async (tx) => {
        const row = await lockAttempt(tx, attempt.organization, attempt.id);
        if (row?.state !== "sending" || row.tries !== attempt.tries) return;
        const tries = counted ? row.tries : row.tries - 1;
        await update(tx, row, {
          state: "queued",
          status: "queued",
          tries,
          errorCode: fault.code,
          error: fault.message,
        });
      }),

    sent: (attempt, receipt) =>
      commit(async (tx) => {
        const row = await lockAttempt(tx, attempt.organization, attempt.id);
        // Two nodes may have been at it: what one of them knows is known, and the first receipt stands.
        const open = row?.state === "sending" || row?.state === "queued" || row?.errorCode === outcomeUnknown;
        if (row && !open && row.externalId === null && receipt.externalId !== undefined)
          await update(tx, row, { externalId: receipt.externalId });
        if (!row || !open) return;
        const status = raiseStatus(firmStatus(row), receipt.status);
        const sentAt = row.sentAt ?? new Date();
        const patch = { status, errorCode: null, error: null, providerStatus: receipt.providerStatus ?? null };
        await update(tx, row, { ...patch, state: "sent", sentAt, externalId: receipt.externalId ?? row.externalId });
        await write(tx, row, [
          messagePatch(row, {
            ...patch,
            sentAt: sentAt.toISOString(),
            ...(receipt.externalId === undefined ? {} : { providerMessageId: receipt.externalId }),
          }),
          ...(row.conversation === null
            ? []
            : [{ type: "conversations", id: row.conversation, data: { lastMessageAt: sentAt.toISOString() } }]),
        ]);
      }),

    async failed(attempt, { fault, fallBack }) {
      const planned = await planAfter(attempt, fallBack);
      await commit(async (tx) => {
        const row = await lockAttempt(tx, attempt.organization, attempt.id);
        if (!row || row.state !== attempt.state || row.tries !== attempt.tries) return;
        await end(tx, row, fault, planned);
      });
    },

    async reported(attempt, report) {
      const planned = await planAfter(attempt, isFailure(report.status) && !isFailure(firmStatus(attempt)));
      await commit(async (tx) => {
        const row = await lockAttempt(tx, attempt.organization, attempt.id);
        if (!row || row.state === "cancelled") return;
        const known = firmStatus(row);
        const status = raiseStatus(known, report.status);
        const named =
          row.externalId === null && report.externalId !== undefined ? { externalId: report.externalId } : {};
        if (status === known && row.errorCode !== outcomeUnknown) {
          if (named.externalId !== undefined) await update(tx, row, named);
          return;
        }
        const fault = isFailure(status)
          ? (report.fault ?? { code: status, message: "The service could not deliver it." })
          : null;
        const patch = {
          status,
          providerStatus: report.providerStatus ?? row.providerStatus,
          errorCode: fault?.code ?? null,
          error: fault?.message ?? null,
        };
        const readAt = status === "read" ? { readAt: report.at } : {};
        await update(tx, row, {
          ...patch,
          ...named,
          ...readAt,
          // The service knows the message: whatever became of our call, it is out.
          state: isFailure(status) ? "failed" : "sent",
          sentAt: row.sentAt ?? report.at,
        });
        await write(tx, row, [
          messagePatch(row, { ...patch, ...(readAt.readAt ? { readAt: readAt.readAt.toISOString() } : {}) }),
        ]);
        if (isFailure(status) && !isFailure(known))
          for (const next of planned) if (!(await queue.write(tx, next))) return;
      });
    },

    async cancelled(tx, attempt) {
      const row = await lockAttempt(tx, attempt.organization, attempt.id);
      if (row?.state !== "queued")
        throw new BackplaneError("conflict", {
          reason: `The message cannot be cancelled any more: it is ${row?.state ?? "gone"}.`,
        });
      const fault = { errorCode: "cancelled", error: "It was cancelled before it was sent." };
      await update(tx, row, { ...fault, state: "cancelled", status: "failed" });
      await write(tx, row, [messagePatch(row, { ...fault, status: "failed" })]);
    },
  };
}
