/** `ctx.emitEvent`: publishes an event of the plugin in its organisation's log. Needs `event:publish:<domain>.*`. */
import { z } from "zod";
import type { EventLog } from "../bus/event-log.ts";
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
      const { subject, id } = optionsSchema.parse(rest) ?? {};
      const { plugin } = context.installation;
      // Ids of one plugin cannot collide with, or take the place of, those of another.
      const scoped = id === undefined ? undefined : `${plugin}/${id}`;
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
