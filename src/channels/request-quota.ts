/**
 * How many messages a plugin may ask for by event: its own rate in each organisation, over all hubs. What is past it is refused
 * and not put off, since a queue that a hostile plugin has filled would go on costing after the plugin is stopped.
 */
import { asPluginId, type OrganizationId } from "../base/brands.ts";
import type { EventRecord } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installations } from "../installations/installations.ts";
import { cutMessagesPerMinute, messageQuota } from "../policy/limits.ts";
import type { ChannelRate } from "./channel-rate.ts";

/** Counts one message. Error: `rate_limited`. */
export type RequestQuota = (organization: OrganizationId, event: Pick<EventRecord, "source">) => Promise<void>;

const pluginSource = "/plugins/";

export function createRequestQuota({
  rate,
  installations,
}: {
  rate: Pick<ChannelRate, "take">;
  installations: Pick<Installations, "find">;
}): RequestQuota {
  return async (organization, { source }) => {
    // What people and the hub publish was counted where they came in.
    if (!source.startsWith(pluginSource)) return;
    const plugin = source.slice(pluginSource.length);
    const installation = await installations.find(organization, asPluginId(plugin));
    const perMinute = cutMessagesPerMinute(installation?.manifest.resources);
    const interval = 60_000 / perMinute;
    const withinMs = messageQuota.burstMinutes * 60_000 - interval;
    // No plugin's id looks like this, so its own rate as a channel is another row.
    const row = { organization, plugin: `requests:${plugin}` };
    const { taken, waitMs } = await rate.take({ ...row, perSecond: perMinute / 60, withinMs });
    if (taken) return;
    throw new BackplaneError("rate_limited", { retryAfter: Math.max(1, Math.ceil((waitMs - withinMs) / 1000)) });
  };
}
