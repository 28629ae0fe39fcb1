/** `ctx.data`: the organisation's entities. Needs `data:read:<entity>` and `data:write:<entity>`. */
import { z } from "zod";
import type { Entities, EntityItem, EntityWrite } from "../entities/entities.ts";
import { BackplaneError } from "../errors/error.ts";
import { inputSentence } from "../errors/input-faults.ts";
import type { Installation } from "../installations/installations.ts";
import { formatTraceparent } from "../telemetry/trace.ts";
import { type Ability, defineAbility, hasGrant, requirePermission, storableString } from "./ability.ts";
import type { CallContext } from "./call-context.ts";

const entityType = z.string().min(1).max(63);
const fields = z.record(z.string(), z.unknown());
const name = storableString(512).min(1);
const item = z.looseObject({
  id: storableString(200).min(1).nullish(),
  source: name.nullish(),
  externalId: name.nullish(),
});
const queryOptions = z
  .object({
    limit: z.number().int().min(1).max(200).optional(),
    offset: z.number().int().min(0).max(100_000).optional(),
    orderBy: storableString(300).optional(),
    cursor: z.string().max(2000).nullish(),
    count: z.boolean().optional(),
    includeDeleted: z.boolean().optional(),
  })
  .nullish()
  .transform((options) => ({ ...options, cursor: options?.cursor ?? undefined }));
const id = storableString(200).min(1);

const reads = (installation: Installation): boolean => hasGrant(installation, "data:read");
const writes = (installation: Installation): boolean => hasGrant(installation, "data:write");

export function createDataAbilities({ entities }: { entities: Entities }): Ability[] {
  return [
    defineAbility({
      name: "data.query",
      available: reads,
      schema: z.tuple([entityType]).rest(z.unknown()),
      async run({ context }, [entity, filter, options]) {
        requirePermission(context, `data:read:${entity}`);
        const given = queryOptions.parse(options, { error: inputSentence });
        return wrongly("data.query", () =>
          entities.query(context.organization, entity, fields.parse(filter ?? {}, { error: inputSentence }), {
            ...given,
            count: false,
          }),
        );
      },
    }),
    defineAbility({
      name: "data.page",
      available: reads,
      schema: z.tuple([entityType]).rest(z.unknown()),
      async run({ context }, [entity, filter, options]) {
        requirePermission(context, `data:read:${entity}`);
        const given = queryOptions.parse(options, { error: inputSentence });
        return wrongly("data.page", () =>
          entities.page(context.organization, entity, fields.parse(filter ?? {}, { error: inputSentence }), given),
        );
      },
    }),
    defineAbility({
      name: "data.count",
      available: reads,
      schema: z.tuple([entityType]).rest(z.unknown()),
      async run({ context }, [entity, filter]) {
        requirePermission(context, `data:read:${entity}`);
        return wrongly("data.count", () =>
          entities.count(context.organization, entity, fields.parse(filter ?? {}, { error: inputSentence })),
        );
      },
    }),
    defineAbility({
      name: "data.getById",
      available: reads,
      schema: z.tuple([entityType, storableString(200)]),
      async run({ context }, [entity, id]) {
        requirePermission(context, `data:read:${entity}`);
        return wrongly("data.getById", () => entities.getById(context.organization, entity, id));
      },
    }),
    defineAbility({
      name: "data.upsert",
      available: writes,
      schema: z.tuple([entityType, z.union([item, z.array(item)])]),
      async run({ context }, [entity, given]) {
        requirePermission(context, `data:write:${entity}`);
        const items = (Array.isArray(given) ? given : [given]).map(withoutNulls);
        for (const { source } of items) assertOwnSource(context.installation.plugin, source);
        const rows = await wrongly("data.upsert", () => entities.upsert(writeOf(context), entity, items));
        return Array.isArray(given) ? rows : rows[0];
      },
    }),
    defineAbility({
      name: "data.delete",
      available: writes,
      schema: z.tuple([entityType, z.union([id, z.array(id)])]),
      async run({ context }, [entity, ids]) {
        requirePermission(context, `data:write:${entity}`);
        return wrongly("data.delete", () =>
          entities.delete(writeOf(context), entity, Array.isArray(ids) ? ids : [ids]),
        );
      },
    }),
  ];
}

const writeOf = (context: CallContext): EntityWrite => ({
  organization: context.organization,
  plugin: context.installation.plugin,
  execution: context.execution,
  traceparent: formatTraceparent(context.trace),
  eventDepth: context.eventDepth,
});

/** A wrong input is the plugin's fault, and its first field is named in the sentence, which is all that reaches the plugin. */
async function wrongly<T>(ability: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BackplaneError) || error.code !== "invalid_input" || !error.errors?.[0]) throw error;
    const [{ path, message }] = error.errors as [{ path: string; message: string }];
    throw new BackplaneError(
      "ability_input",
      { ability, reason: `${path}: ${message}` },
      { errors: [...error.errors], cause: error },
    );
  }
}

/** An absent name may come as null, as it does from a row that was read before. */
function withoutNulls({ id, source, externalId, ...rest }: z.infer<typeof item>): EntityItem {
  return {
    ...rest,
    ...(id ? { id } : {}),
    ...(source ? { source } : {}),
    ...(externalId ? { externalId } : {}),
  };
}

/** (source, externalId) names a row for ever, so a plugin may only speak for sources of its own: its id, or `<its id>:<anything>`. */
function assertOwnSource(plugin: string, source: string | undefined): void {
  if (source === undefined || source === plugin || source.startsWith(`${plugin}:`)) return;
  throw new BackplaneError("permission_denied", { plugin, permission: `data of the source ${source}` });
}
