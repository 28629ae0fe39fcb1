/** `ctx.data`: the organisation's entities. Needs `data:read:<entity>` and `data:write:<entity>`. */
import { z } from "zod";
import type { Entities, EntityItem } from "../entities/entities.ts";
import { formatTraceparent } from "../telemetry/trace.ts";
import { type Ability, defineAbility, hasGrant, requirePermission } from "./ability.ts";

const entityType = z.string().min(1).max(63);
const fields = z.record(z.string(), z.unknown());
const queryOptions = z
  .object({
    limit: z.number().int().min(1).max(200).optional(),
    offset: z.number().int().min(0).max(100_000).optional(),
    orderBy: z.string().max(100).optional(),
  })
  .nullish();

export function createDataAbilities({ entities }: { entities: Entities }): Ability[] {
  return [
    defineAbility({
      name: "data.query",
      available: (installation) => hasGrant(installation, "data:read"),
      schema: z.tuple([entityType]).rest(z.unknown()),
      async run({ context }, [entity, filter, options]) {
        requirePermission(context, `data:read:${entity}`);
        const { limit, offset, orderBy } = queryOptions.parse(options) ?? {};
        return entities.query(context.organization, entity, fields.parse(filter ?? {}), {
          ...(limit === undefined ? {} : { limit }),
          ...(offset === undefined ? {} : { offset }),
          ...(orderBy === undefined ? {} : { orderBy }),
        });
      },
    }),
    defineAbility({
      name: "data.getById",
      available: (installation) => hasGrant(installation, "data:read"),
      schema: z.tuple([entityType, z.string().max(200)]),
      async run({ context }, [entity, id]) {
        requirePermission(context, `data:read:${entity}`);
        return entities.getById(context.organization, entity, id);
      },
    }),
    defineAbility({
      name: "data.upsert",
      available: (installation) => hasGrant(installation, "data:write"),
      schema: z.tuple([entityType, z.union([fields, z.array(fields)])]),
      async run({ context }, [entity, given]) {
        requirePermission(context, `data:write:${entity}`);
        const items = (Array.isArray(given) ? given : [given]) as EntityItem[];
        const rows = await entities.upsert(
          {
            organization: context.organization,
            plugin: context.installation.plugin,
            execution: context.execution,
            traceparent: formatTraceparent(context.trace),
            eventDepth: context.eventDepth,
          },
          entity,
          items,
        );
        return Array.isArray(given) ? rows : rows[0];
      },
    }),
  ];
}
