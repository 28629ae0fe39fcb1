/** Which consumers of the bus a plugin has: they follow its declaration, its grants and its status. */
import type { OrganizationId, PluginId } from "../base/brands.ts";
import type { Consumers } from "../bus/consumers.ts";
import type { Installation } from "../installations/installations.ts";
import { executionConsumer, subscriptionConsumer, syncConsumer, webhookConsumer } from "../policy/consumers.ts";
import { permits } from "../policy/permits.ts";
import type { Tx } from "../store/store.ts";

/** The rows that make events reach the plugin's subscriptions: those declared and granted; live only while it is active. */
export async function syncConsumers(
  tx: Tx,
  consumers: Consumers,
  { organization, plugin, status, manifest, grants }: Installation,
): Promise<void> {
  const active = status === "active";
  const wanted = (manifest.contributes?.subscriptions ?? []).filter((pattern) =>
    permits(grants, `event:subscribe:${pattern}`),
  );
  const present = await consumersOf(tx, organization, plugin);
  for (const pattern of wanted) {
    const consumer = subscriptionConsumer(plugin, pattern);
    const row = present.find((candidate) => candidate.consumer === consumer);
    if (!row || row.active !== active)
      await consumers.register(tx, { organization, consumer, plugin, pattern, active });
  }
  const kept = new Set(wanted.map((pattern) => subscriptionConsumer(plugin, pattern)));
  for (const { consumer } of present) if (!kept.has(consumer)) await consumers.remove(tx, { organization, consumer });
}

/** With the work that was accepted for the plugin: nobody is left to do it. */
export async function removeConsumers(
  tx: Tx,
  consumers: Consumers,
  { organization, plugin }: Pick<Installation, "organization" | "plugin">,
): Promise<void> {
  const registered = (await consumersOf(tx, organization, plugin)).map(({ consumer }) => consumer);
  const queues = [webhookConsumer(plugin), executionConsumer(plugin), syncConsumer(plugin)];
  for (const consumer of [...registered, ...queues]) await consumers.remove(tx, { organization, consumer });
}

function consumersOf(
  tx: Tx,
  organization: OrganizationId,
  plugin: PluginId,
): Promise<{ consumer: string; active: boolean }[]> {
  return tx
    .selectFrom("consumers")
    .select(["consumer", "active"])
    .where("organization_id", "=", organization)
    .where("plugin_id", "=", plugin)
    .execute();
}
