/** Connectors: where each stands, what runs, when it is due, and actions on its service. */
import { z } from "zod";
import { asPluginId } from "../../../base/brands.ts";
import type { ConnectorState, PositionChange, Who } from "../../../connectors/connectors.ts";
import { nowhere, type Position } from "../../../connectors/position.ts";
import type { Run } from "../../../connectors/run-records.ts";
import { BackplaneError } from "../../../errors/error.ts";
import { areTypes, readCursors } from "../../../incoming/read-batch.ts";
import { defineRoute, type RouteCall, type RouteSpec } from "../route.ts";
import { listOf, page, pluginParams } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const time = z.string().nullable();
const fault = z.object({ code: z.string(), message: z.string() }).nullable();
const derived = z.object({ value: z.iso.datetime(), id: z.string().max(512) });

/** As it is shown, and as it is set. */
const positionSchema = z.strictObject({
  cursors: z.record(z.string(), z.unknown()).default({}),
  last: z.string().max(64).nullable().default(null),
  times: z.record(z.string().max(64), derived).default({}),
  complete: z.boolean().default(false),
});

const runSchema = z.object({
  id: z.string(),
  plugin: z.string(),
  status: z.enum(["queued", "running", "waiting", "succeeded", "failed", "cancelled"]),
  full: z.boolean(),
  types: z.array(z.string()).nullable(),
  trigger: z.enum(["schedule", "manual", "event"]),
  actor: z.string(),
  counts: z.object({
    items: z.number(),
    created: z.number(),
    updated: z.number(),
    deleted: z.number(),
    unchanged: z.number(),
    rejected: z.number(),
  }),
  progress: z.record(
    z.string(),
    z.object({ items: z.number(), total: z.number().optional(), rejected: z.number().optional() }),
  ),
  rejections: z.array(z.object({ id: z.string().nullable(), type: z.string(), reason: z.string() })),
  estimate: z.object({ total: z.number(), share: z.number(), secondsLeft: z.number().nullable() }).nullable(),
  calls: z.number(),
  batches: z.number(),
  failures: z.number(),
  executionId: z.string().nullable(),
  error: fault,
  resumeAt: time,
  createdAt: z.string(),
  startedAt: time,
  endedAt: time,
});

const plannedSchema = z.object({
  schedule: z.string().nullable(),
  own: z.string().nullable(),
  nextAt: time,
  fault: z.string().optional(),
});

const stateSchema = z.object({
  plugin: z.string(),
  status: z.string(),
  statusReason: z.string().nullable(),
  paused: z.boolean(),
  sync: plannedSchema,
  fullSync: plannedSchema,
  position: positionSchema,
  run: runSchema.nullable(),
  lastRun: runSchema.nullable(),
  realtime: z
    .object({
      state: z.enum(["registered", "failing", "unsupported"]),
      webhookUrl: z.string(),
      expiresAt: z.string().optional(),
      registeredAt: z.string().optional(),
      nextAt: time,
      attempts: z.number(),
      error: fault.optional(),
    })
    .nullable(),
});

const historySchema = z.array(
  z.object({ at: z.string(), actor: z.string(), action: z.string(), runId: time, position: positionSchema }),
);

const scheduleText = z.string().max(100).nullable().optional();
const runParams = z.strictObject({ ...pluginParams.shape, runId: z.string().min(1).max(100) });
const actionParams = z.strictObject({ ...pluginParams.shape, name: z.string().min(1).max(64) });

const whoOf = ({
  organization,
  actor,
  params,
}: Pick<RouteCall<{ id: string }, unknown, unknown>, "organization" | "actor" | "params">): Who => ({
  organization,
  actor,
  plugin: asPluginId(params.id),
});

export function connectorRoutes({ connectors }: Pick<HttpServices, "connectors">): RouteSpec[] {
  const stateOf = async ({ organization, plugin }: Who): Promise<object> => ({
    ...presentState(await connectors.state(organization, plugin)),
    history: (await connectors.history(organization, plugin)).map(presentChange),
  });
  const fullState = { status: 200, schema: stateSchema.extend({ history: historySchema }) };

  return [
    defineRoute({
      method: "GET",
      path: "/api/connectors",
      summary: "The organisation's connectors, by id: where each stands and what runs",
      tag: "connectors",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: {
        status: 200,
        schema: listOf("connectors", stateSchema.extend({ name: z.string() })),
      },
      async handler({ organization, query }) {
        const { connectors: found, nextCursor } = await connectors.list(organization, query);
        return {
          connectors: found.map(({ name, ...state }) => ({ ...presentState(state), name })),
          nextCursor,
        };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/connectors/:id/sync",
      summary: "Sync now; a sync that waits to begin takes the request in",
      tag: "connectors",
      access: { role: "member" },
      params: pluginParams,
      body: z
        .strictObject({ full: z.boolean().optional(), types: z.array(z.string().max(64)).max(100).optional() })
        .default({}),
      success: { status: 202, schema: z.object({ runId: z.string() }) },
      errors: ["not_found", "plugin_not_active", "conflict"],
      async handler(call) {
        const { full, types } = call.body;
        if (types !== undefined && !areTypes(types))
          throw wrong("types", "each must be a kind of item, such as `contact`");
        const { organization, plugin, actor } = whoOf(call);
        return { runId: await connectors.sync({ organization, plugin, actor, full, types, trace: call.trace }) };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/connectors/:id/state",
      summary: "Where it stands: cursors with their history, schedule, what runs, the listener for pushes",
      tag: "connectors",
      access: { role: "viewer" },
      params: pluginParams,
      success: fullState,
      errors: ["not_found"],
      handler: (call) => stateOf(whoOf(call)),
    }),
    defineRoute({
      method: "PUT",
      path: "/api/connectors/:id/state",
      summary: "Set or reset where the next sync goes on",
      tag: "connectors",
      access: { role: "admin" },
      params: pluginParams,
      body: z.union([z.strictObject({ position: positionSchema }), z.strictObject({ reset: z.literal(true) })]),
      success: fullState,
      errors: ["not_found", "conflict"],
      async handler(call) {
        const who = whoOf(call);
        if ("reset" in call.body) await connectors.reset(who);
        else await connectors.setPosition(who, readPosition(call.body.position, who));
        return stateOf(who);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/connectors/:id/runs",
      summary: "Its syncs, newest first",
      tag: "connectors",
      access: { role: "viewer" },
      params: pluginParams,
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("runs", runSchema) },
      errors: ["not_found"],
      async handler({ organization, params, query }) {
        const { runs, nextCursor } = await connectors.runs(organization, asPluginId(params.id), query);
        return { runs: runs.map(presentRun), nextCursor };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/connectors/:id/runs/:runId",
      summary: "One sync",
      tag: "connectors",
      access: { role: "viewer" },
      params: runParams,
      success: { status: 200, schema: runSchema },
      errors: ["not_found"],
      handler: async ({ organization, params }) =>
        presentRun(await connectors.run(organization, asPluginId(params.id), params.runId)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/connectors/:id/runs/:runId/cancel",
      summary: "Cancel a sync; what it has stored stays",
      tag: "connectors",
      access: { role: "member" },
      params: runParams,
      success: { status: 200, schema: runSchema },
      errors: ["not_found", "conflict"],
      handler: async ({ organization, params }) =>
        presentRun(await connectors.cancel(organization, asPluginId(params.id), params.runId)),
    }),
    ...(["pause", "resume"] as const).map((verb) =>
      defineRoute({
        method: "POST",
        path: `/api/connectors/:id/${verb}`,
        summary: verb === "pause" ? "Hold its syncs: what runs stops after its batch" : "Let its syncs go on",
        tag: "connectors",
        access: { role: "member" },
        params: pluginParams,
        success: { status: 200, schema: stateSchema },
        errors: ["not_found"],
        async handler(call) {
          const who = whoOf(call);
          await connectors[verb](who);
          return presentState(await connectors.state(who.organization, who.plugin));
        },
      }),
    ),
    defineRoute({
      method: "PUT",
      path: "/api/connectors/:id/schedule",
      summary: "Set its schedules; null: as the manifest says, an empty text: never",
      tag: "connectors",
      access: { role: "admin" },
      params: pluginParams,
      body: z.strictObject({ schedule: scheduleText, fullSchedule: scheduleText }),
      success: { status: 200, schema: stateSchema },
      errors: ["not_found"],
      async handler(call) {
        const who = whoOf(call);
        const { schedule, fullSchedule } = call.body;
        await connectors.setSchedule(who, {
          ...(schedule === undefined ? {} : { schedule }),
          ...(fullSchedule === undefined ? {} : { fullSchedule }),
        });
        return presentState(await connectors.state(who.organization, who.plugin));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/connectors/:id/actions/:name",
      summary: "Do something on the service; once for each idempotency key",
      tag: "connectors",
      access: { role: "member" },
      params: actionParams,
      body: z.strictObject({
        parameters: z.record(z.string(), z.unknown()).default({}),
        idempotencyKey: z.string().min(1).max(200).optional(),
      }),
      success: {
        status: 200,
        schema: z.object({
          success: z.boolean(),
          data: z.unknown().optional(),
          error: z.string().optional(),
          executionId: z.string(),
        }),
      },
      errors: [
        "not_found",
        "function_not_found",
        "invalid_parameters",
        "permission_denied",
        "conflict",
        "plugin_not_active",
        "plugin_error",
        "handler_missing",
        "result_invalid",
        "deadline_exceeded",
        "runner_lost",
        "rate_limited",
      ],
      handler: (call) =>
        connectors.execute({
          ...whoOf(call),
          ...{ name: call.params.name, parameters: call.body.parameters, idempotencyKey: call.body.idempotencyKey },
          ...{ trace: call.trace, signal: call.signal },
        }),
    }),
  ];
}

const iso = (at: Date | null): string | null => at?.toISOString() ?? null;

export function presentRun(run: Run): Record<string, unknown> {
  return {
    id: run.id,
    plugin: run.plugin,
    status: run.status,
    full: run.full,
    types: run.types ?? null,
    trigger: run.trigger,
    actor: run.actor,
    counts: run.counts,
    progress: run.progress,
    rejections: run.rejections.last,
    estimate: estimateOf(run),
    calls: run.calls,
    batches: run.batches,
    failures: run.failures,
    executionId: run.execution,
    error: run.error,
    resumeAt: iso(run.resumeAt),
    createdAt: run.createdAt.toISOString(),
    startedAt: iso(run.startedAt),
    endedAt: iso(run.endedAt),
  };
}

/** Where every kind of item that came has a total: how far it is, and how long at this pace. */
function estimateOf({
  progress,
  startedAt,
  endedAt,
}: Run): { total: number; share: number; secondsLeft: number | null } | null {
  const kinds = Object.values(progress);
  if (kinds.length === 0 || kinds.some(({ total }) => total === undefined)) return null;
  const total = kinds.reduce((sum, kind) => sum + Math.max(kind.total ?? 0, kind.items), 0);
  const items = kinds.reduce((sum, kind) => sum + kind.items, 0);
  const seconds = startedAt === null ? 0 : (Date.now() - startedAt.getTime()) / 1000;
  return {
    total,
    share: total === 0 ? 1 : Math.round((items / total) * 1000) / 1000,
    secondsLeft: endedAt !== null || items === 0 ? null : Math.round((seconds / items) * (total - items)),
  };
}

function presentPosition({ own, last, derived: times, complete }: Position): Record<string, unknown> {
  return { cursors: own, last, times, complete };
}

function presentChange({ at, position, ...change }: PositionChange): Record<string, unknown> {
  return { at: at.toISOString(), ...change, position: presentPosition(position) };
}

function presentState(state: ConnectorState): Record<string, unknown> {
  const { plugin, status, statusReason, paused, sync, fullSync, position, run, lastRun, realtime } = state;
  return {
    ...{ plugin, status, statusReason, paused },
    sync: { ...sync, nextAt: iso(sync.nextAt) },
    fullSync: { ...fullSync, nextAt: iso(fullSync.nextAt) },
    position: presentPosition(position),
    run: run && presentRun(run),
    lastRun: lastRun && presentRun(lastRun),
    realtime: realtime && { ...realtime, nextAt: iso(realtime.nextAt) },
  };
}

function readPosition({ cursors, last, times, complete }: z.infer<typeof positionSchema>, { plugin }: Who): Position {
  const position: Position = { ...nowhere, last, complete, derived: times };
  try {
    position.own = readCursors(cursors, { plugin, grants: [] });
  } catch (error) {
    if (!(error instanceof BackplaneError)) throw error;
    throw wrong("position.cursors", error.message);
  }
  if (last !== null && !Object.hasOwn(position.own, last)) throw wrong("position.last", "must name one of `cursors`");
  return position;
}

const wrong = (path: string, message: string): BackplaneError =>
  new BackplaneError("invalid_input", {}, { errors: [{ path, message }] });
