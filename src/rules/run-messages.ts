/**
 * Adds to runs what became of the messages that their steps asked for. An action ends when the hub has taken its request, long
 * before anybody knows whether the message went out: a run may have succeeded while its message failed.
 */
import { sql } from "kysely";
import type { OrganizationId } from "../base/brands.ts";
import { isObject } from "../base/json.ts";
import type { Store } from "../store/store.ts";
import type { RunDetail, RunRecord, StepMessage } from "./rule-record.ts";
import type { RuleRuns } from "./rule-runs.ts";

/** By the ids of the events that asked for them; of those that are requests. */
export type MessagesOf = (
  organization: OrganizationId,
  requestIds: readonly string[],
) => Promise<readonly StepMessage[]>;

type Reading = Pick<RuleRuns, "list" | "get" | "cancel">;

const failed = ({ status }: StepMessage): boolean => status === "failed" || status === "undelivered";

export function withMessages(runs: Reading, { store, messagesOf }: { store: Store; messagesOf: MessagesOf }): Reading {
  const byRequest = async (organization: OrganizationId, ids: readonly string[]): Promise<Map<string, StepMessage>> => {
    const messages = ids.length === 0 ? [] : await messagesOf(organization, ids);
    return new Map(messages.map((message) => [message.requestId, message]));
  };

  const detailed = async (organization: OrganizationId, run: RunDetail): Promise<RunDetail> => {
    const messages = await byRequest(
      organization,
      run.steps.flatMap(({ result }) => requestIdOf(result) ?? []),
    );
    const steps = run.steps.map((step) => ({ ...step, message: messages.get(requestIdOf(step.result) ?? "") ?? null }));
    const failedMessages = steps.filter(({ message }) => message !== null && failed(message)).length;
    return { ...run, steps, failedMessages };
  };

  const counted = async (organization: OrganizationId, page: readonly RunRecord[]): Promise<RunRecord[]> => {
    const requests = await requestsOf(store, organization, page);
    const messages = await byRequest(
      organization,
      requests.map(({ requestId }) => requestId),
    );
    const failedMessages = new Map<string, number>();
    for (const { run, requestId } of requests) {
      const message = messages.get(requestId);
      if (message && failed(message)) failedMessages.set(run, (failedMessages.get(run) ?? 0) + 1);
    }
    return page.map((run) => ({ ...run, failedMessages: failedMessages.get(run.id) ?? 0 }));
  };

  return {
    async list(organization, filter) {
      const { runs: page, nextCursor } = await runs.list(organization, filter);
      return { runs: await counted(organization, page), nextCursor };
    },
    get: async (organization, id) => detailed(organization, await runs.get(organization, id)),
    cancel: async (organization, id) => detailed(organization, await runs.cancel(organization, id)),
  };
}

/** An action that asked for a message gives the id of its `comms.MessageRequested` event. */
function requestIdOf(result: unknown): string | undefined {
  const id = isObject(result) ? result["requestId"] : undefined;
  return typeof id === "string" ? id : undefined;
}

async function requestsOf(
  store: Store,
  organization: OrganizationId,
  page: readonly RunRecord[],
): Promise<{ run: string; requestId: string }[]> {
  if (page.length === 0) return [];
  const { rows } = await sql<{ run: string; requestId: string }>`
    select run_id as run, result ->> 'requestId' as "requestId" from rule_run_steps
    where organization_id = ${organization} and run_id in (${sql.join(page.map(({ id }) => id))})
      and jsonb_typeof(result -> 'requestId') = 'string'`.execute(store.db);
  return rows;
}
