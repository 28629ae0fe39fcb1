/**
 * Actions on a service, for people and rules: checked against the manifest, recorded as an execution, and done once for each
 * idempotency key, whose first answer is given again for a day.
 */
import { createHash } from "node:crypto";
import type { OrganizationId, PluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import { isObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import { compilePluginSchema } from "../manifest/compile-schema.ts";
import { permits } from "../policy/permits.ts";
import { json } from "../store/json.ts";
import type { Store } from "../store/store.ts";
import type { Trace } from "../telemetry/trace.ts";

export interface ActionRequest {
  organization: OrganizationId;
  plugin: PluginId;
  name: string;
  parameters: Record<string, unknown>;
  idempotencyKey?: string | undefined;
  actor: string;
  trace?: Trace | undefined;
  signal?: AbortSignal | undefined;
}

export interface ActionAnswer {
  success: boolean;
  data?: unknown;
  error?: string;
  executionId: string;
}

export interface Actions {
  /**
   * Errors: `not_found`, `function_not_found`, `invalid_parameters`, `permission_denied`, `conflict` (the key is at work, or was used for
   * something else), and those of `invoker.run`.
   */
  execute(request: ActionRequest): Promise<ActionAnswer>;
  /** A job's work. */
  forgetBefore(before: Date): Promise<number>;
}

export interface ActionsOptions {
  store: Store;
  installations: Installations;
  invoker: Pick<Invoker, "run">;
}

/** No call takes longer, so past it whoever held a key is gone. */
const attemptMs = 16 * 60_000;

export function createActions({ store, installations, invoker }: ActionsOptions): Actions {
  const run = async (request: ActionRequest, id: string): Promise<ActionAnswer> => {
    const { organization, plugin, name, parameters, actor, trace, signal } = request;
    const { record, error } = await invoker.run({
      ...{ organization, plugin, actor },
      kind: "connector",
      name: "executeAction",
      args: [{ id, type: name, parameters }],
      ...(trace ? { trace } : {}),
      ...(signal ? { signal } : {}),
    });
    if (error) throw error;
    return { ...readAnswer(record.result, plugin), executionId: record.id };
  };

  /** The action's id and this attempt's, or the answer there is already. */
  const take = async (
    request: ActionRequest & { idempotencyKey: string },
  ): Promise<{ id: string; attempt: string } | { answer: ActionAnswer }> => {
    const { organization, plugin, name, idempotencyKey: key } = request;
    const hash = createHash("sha256")
      .update(JSON.stringify([name, request.parameters]))
      .digest("hex");
    return store.transaction(async (tx) => {
      const attempt = newId();
      const until = new Date(Date.now() + attemptMs);
      const made = await tx
        .insertInto("connector_actions")
        .values({
          organization_id: organization,
          plugin_id: plugin,
          key,
          action: name,
          request_hash: hash,
          action_id: newId(),
          attempt,
          attempt_until: until,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning("action_id")
        .executeTakeFirst();
      if (made) return { id: made.action_id, attempt };
      const row = await tx
        .selectFrom("connector_actions")
        .selectAll()
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .where("key", "=", key)
        .forUpdate()
        .executeTakeFirst();
      if (!row) throw new BackplaneError("conflict", { reason: "The idempotency key has just run out. Try again." });
      if (row.request_hash !== hash)
        throw new BackplaneError("conflict", { reason: "This idempotency key was used for another request." });
      if (row.answer !== null) return { answer: row.answer as unknown as ActionAnswer };
      if (row.attempt_until !== null && row.attempt_until > new Date())
        throw new BackplaneError("conflict", {
          reason: "The action of this idempotency key is at work. Try again later.",
        });
      // It failed, or its hub is gone: the same action again, under the same id.
      await tx
        .updateTable("connector_actions")
        .set({ attempt, attempt_until: until })
        .where("organization_id", "=", organization)
        .where("plugin_id", "=", plugin)
        .where("key", "=", key)
        .execute();
      return { id: row.action_id, attempt };
    });
  };

  const end = async (
    request: ActionRequest & { idempotencyKey: string },
    attempt: string,
    answer?: ActionAnswer,
  ): Promise<void> => {
    await store.db
      .updateTable("connector_actions")
      .set({ attempt_until: null, ...(answer ? { answer: json(answer) } : {}) })
      .where("organization_id", "=", request.organization)
      .where("plugin_id", "=", request.plugin)
      .where("key", "=", request.idempotencyKey)
      .where("attempt", "=", attempt)
      .execute();
  };

  return {
    async execute(request) {
      check(await installations.get(request.organization, request.plugin), request);
      const { idempotencyKey } = request;
      if (idempotencyKey === undefined) return run(request, newId());
      const keyed = { ...request, idempotencyKey };
      const taken = await take(keyed);
      if ("answer" in taken) return taken.answer;
      try {
        const answer = await run(keyed, taken.id);
        await end(keyed, taken.attempt, answer);
        return answer;
      } catch (error) {
        await end(keyed, taken.attempt).catch(() => {});
        throw error;
      }
    },
    async forgetBefore(before) {
      const gone = await store.db.deleteFrom("connector_actions").where("created_at", "<", before).executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}

function check({ manifest, grants, plugin }: Installation, { name, parameters }: ActionRequest): void {
  const action = manifest.contributes?.connector?.actions?.find((candidate) => candidate.name === name);
  if (!action) throw new BackplaneError("function_not_found", { plugin, kind: "connector action", name });
  for (const permission of action.permissions ?? [])
    if (!permits(grants, permission)) throw new BackplaneError("permission_denied", { plugin, permission });
  if (!action.parameters) return;
  const faults = compilePluginSchema(action.parameters as Record<string, unknown>).validate(parameters);
  if (faults.length > 0) throw new BackplaneError("invalid_parameters", { name }, { errors: faults });
}

function readAnswer(result: unknown, plugin: PluginId): Omit<ActionAnswer, "executionId"> {
  if (!isObject(result) || typeof result["success"] !== "boolean")
    throw new BackplaneError("result_invalid", {
      plugin,
      reason: "executeAction gives an object {success, data?, error?}",
    });
  const { success, data, error } = result;
  return {
    success,
    ...(data === undefined ? {} : { data }),
    ...(typeof error === "string" ? { error: error.slice(0, 4000) } : {}),
  };
}
