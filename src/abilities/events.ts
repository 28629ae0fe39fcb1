/** `ctx.emitEvent`: publishes an event of the plugin in its organisation's log. Needs `event:publish:<domain>.*`. */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { EventLog } from "../bus/event-log.ts";
import { pluginEventIds } from "../bus/event-record.ts";
import { inputSentence } from "../errors/input-faults.ts";
import { formatTraceparent } from "../telemetry/trace.ts";
import { type Ability, defineAbility, hasGrant, requirePermission } from "./ability.ts";

const optionsSchema = z
  .object({ subject: z.string().max(512).optional(), id: z.string().min(1).max(200).optional() })
  .nullish();

export function createEventsAbility({ eventLog }: { eventLog: EventLog }): Ability {
  return defineAbility({
    name: "events.emit",
    available: (installation) => hasGrant(installation, "event:publish"),
    schema: z.tuple([z.string().max(200)]).rest(z.unknown()),
    async run({ context }, [type, data, rest]) {
      requirePermission(context, `event:publish:${type}`);
      const { subject, id } = optionsSchema.parse(rest, { error: inputSentence }) ?? {};
      const { plugin } = context.installation;
      const scoped = id === undefined ? undefined : pluginEventId(plugin, id);
      const published = await eventLog.accept({
        organization: context.organization,
        type,
        source: `/plugins/${plugin}`,
        data: data ?? null,
        traceparent: formatTraceparent(context.trace),
        depth: context.eventDepth + 1,
        ...(subject === undefined ? {} : { subject }),
        ...(scoped === undefined ? {} : { id: scoped }),
      });
      return { id: published.id };
    },
  });
}

const maxIdBytes = 256;

/** Nobody else's ids begin like this, so that none can take the place of a plugin's event: not another plugin's, not a person's. */
export function pluginEventId(plugin: string, id: string): string {
  const scoped = `${pluginEventIds}${plugin}#${id}`;
  if (Buffer.byteLength(scoped) <= maxIdBytes) return scoped;
  return `${pluginEventIds}${plugin}#sha256:${createHash("sha256").update(id).digest("hex")}`;
}
