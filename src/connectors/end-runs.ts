/** Runs of a connector that are open, and their end before they are through. */
import type { OrganizationId, PluginId } from "../base/brands.ts";
import type { Deliveries } from "../bus/deliveries.ts";
import type { EventLog } from "../bus/event-log.ts";
import type { Installation } from "../installations/installations.ts";
import { syncConsumer } from "../policy/consumers.ts";
import type { Tx } from "../store/store.ts";
import { openStatuses, type Run, toRun, writeRun } from "./run-records.ts";
import { syncEvent } from "./sync-runs.ts";

export interface RunEnds {
  cancelRun(tx: Tx, run: Run, message: string): Promise<void>;
  /** Because the plugin is not active any more. */
  cancelAll(tx: Tx, organization: OrganizationId, plugin: PluginId, status: string): Promise<void>;
  /** Whether there is one. */
  openRun(tx: Tx, of: Pick<Installation, "organization" | "plugin">): Promise<boolean>;
}

export function createRunEnds({ eventLog, deliveries }: { eventLog: EventLog; deliveries: Deliveries }): RunEnds {
  const cancelRun: RunEnds["cancelRun"] = async (tx, run, message) => {
    const { organization, plugin, id } = run;
    const ended: Run = {
      ...run,
      status: "cancelled",
      error: { code: "cancelled", message },
      resumeAt: null,
      endedAt: new Date(),
    };
    await writeRun(tx, ended);
    await tx
      .deleteFrom("connector_seen")
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .where("run_id", "=", id)
      .execute();
    if (run.startedAt !== null) await eventLog.publish(tx, syncEvent(ended, "SyncFailed"));
    await deliveries.cancel(tx, { organization, consumer: syncConsumer(plugin), itemId: id });
  };

  const cancelAll: RunEnds["cancelAll"] = async (tx, organization, plugin, status) => {
    const open = await tx
      .selectFrom("connector_runs")
      .selectAll()
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .where("status", "in", openStatuses)
      .orderBy("id")
      .forUpdate()
      .execute();
    for (const row of open) await cancelRun(tx, toRun(row), `The plugin is not active any more; it is ${status}.`);
  };

  const openRun: RunEnds["openRun"] = async (tx, { organization, plugin }) =>
    (await tx
      .selectFrom("connector_runs")
      .select("id")
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .where("status", "in", openStatuses)
      .limit(1)
      .executeTakeFirst()) !== undefined;

  return { cancelRun, cancelAll, openRun };
}
