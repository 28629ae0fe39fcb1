/** Installations: their life, their settings, and calls of their functions. */
import { z } from "zod";
import { asPluginId } from "../../../base/brands.ts";
import { decodeCursor, encodeCursor } from "../../../base/cursor.ts";
import type { BackplaneError } from "../../../errors/error.ts";
import { BackplaneError as Problem } from "../../../errors/error.ts";
import type { ChangeContext } from "../../../lifecycle/transitions.ts";
import { presentConsent, presentInstallation } from "../present.ts";
import { Answer, defineRoute, type RouteCall, type RouteSpec } from "../route.ts";
import { configSchema, grantsSchema, installationSchema, listOf, page, pluginParams } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const invokeBody = z.strictObject({
  function: z.string().min(1).max(200),
  parameters: z.unknown().optional(),
  sessionId: z.string().max(200).optional(),
  mode: z.enum(["sync", "async"]).default("sync"),
});

const changeOf = ({ organization, actor, trace }: RouteCall<unknown, unknown, unknown>): ChangeContext => ({
  organization,
  actor,
  trace,
});

export function pluginRoutes({ installations, lifecycle, invoker, executions }: HttpServices): RouteSpec[] {
  const success = { status: 200, schema: installationSchema };
  return [
    defineRoute({
      method: "POST",
      path: "/api/plugins",
      summary: "Install a plugin of the catalog",
      tag: "plugins",
      access: { role: "admin" },
      body: z.strictObject({
        id: z.string().min(1).max(200),
        version: z.string().max(200).optional(),
        grants: grantsSchema.optional(),
        config: configSchema.optional(),
      }),
      success: { status: 201, schema: installationSchema },
      errors: [
        "not_found",
        "already_installed",
        "dependency_missing",
        "hub_version_unsupported",
        "invalid_config",
        "invalid_grants",
      ],
      async handler(call) {
        const { id, version, grants, config } = call.body;
        return presentInstallation(
          await lifecycle.install(changeOf(call), {
            id,
            ...(version === undefined ? {} : { version }),
            ...(grants === undefined ? {} : { grants }),
            ...(config === undefined ? {} : { config }),
          }),
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/plugins",
      summary: "List installations, newest first",
      tag: "plugins",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("plugins", installationSchema) },
      async handler({ organization, query: { limit, cursor } }) {
        const before = cursor === undefined ? undefined : installedBefore(cursor);
        const rows = await installations.list(organization, {
          limit: limit + 1,
          ...(before ? { before } : {}),
        });
        const shown = rows.slice(0, limit);
        const last = shown.at(-1);
        return {
          plugins: shown.map(presentInstallation),
          nextCursor: rows.length > limit && last ? encodeCursor([last.installedAt.toISOString(), last.id]) : null,
        };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/plugins/:id",
      summary: "One installation",
      tag: "plugins",
      access: { role: "viewer" },
      params: pluginParams,
      success,
      errors: ["not_found"],
      handler: async ({ organization, params }) =>
        presentInstallation(await installations.get(organization, asPluginId(params.id))),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/plugins/:id",
      summary: "Uninstall",
      tag: "plugins",
      access: { role: "admin" },
      params: pluginParams,
      success: { status: 204 },
      errors: ["not_found", "dependency_in_use"],
      handler: (call) => lifecycle.uninstall(changeOf(call), asPluginId(call.params.id)),
    }),
    defineRoute({
      method: "GET",
      path: "/api/plugins/:id/consent",
      summary: "What the plugin asks for, in plain words, and what is new",
      tag: "plugins",
      access: { role: "viewer" },
      params: pluginParams,
      success: { status: 200, schema: z.record(z.string(), z.unknown()) },
      errors: ["not_found"],
      handler: async ({ organization, params }) =>
        presentConsent(await installations.get(organization, asPluginId(params.id))),
    }),
    defineRoute({
      method: "GET",
      path: "/api/plugins/:id/history",
      summary: "The installation's transitions, newest first",
      tag: "plugins",
      access: { role: "viewer" },
      params: pluginParams,
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("transitions", z.record(z.string(), z.unknown())) },
      errors: ["invalid_cursor"],
      handler: ({ organization, params, query }) =>
        lifecycle.transitions(organization, asPluginId(params.id), definedOnly(query)),
    }),
    defineRoute({
      method: "PUT",
      path: "/api/plugins/:id/config",
      summary: "Replace the configuration",
      tag: "plugins",
      access: { role: "admin" },
      params: pluginParams,
      body: configSchema,
      success,
      errors: ["not_found", "invalid_config"],
      handler: async (call) =>
        presentInstallation(await lifecycle.configure(changeOf(call), asPluginId(call.params.id), call.body)),
    }),
    defineRoute({
      method: "PUT",
      path: "/api/plugins/:id/grants",
      summary: "Replace the grants",
      tag: "plugins",
      access: { role: "admin" },
      params: pluginParams,
      body: z.strictObject({ grants: grantsSchema }),
      success,
      errors: ["not_found", "invalid_grants"],
      handler: async (call) =>
        presentInstallation(await lifecycle.grant(changeOf(call), asPluginId(call.params.id), call.body.grants)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/plugins/:id/activate",
      summary: "Activate; also ends a quarantine",
      tag: "plugins",
      access: { role: "admin" },
      params: pluginParams,
      success,
      errors: ["not_found", "activation_blocked"],
      handler: async (call) =>
        presentInstallation(await lifecycle.activate(changeOf(call), asPluginId(call.params.id))),
    }),
    defineRoute({
      method: "POST",
      path: "/api/plugins/:id/deactivate",
      summary: "Deactivate; running calls may finish",
      tag: "plugins",
      access: { role: "admin" },
      params: pluginParams,
      success,
      errors: ["not_found", "invalid_transition"],
      handler: async (call) =>
        presentInstallation(await lifecycle.deactivate(changeOf(call), asPluginId(call.params.id))),
    }),
    defineRoute({
      method: "POST",
      path: "/api/plugins/:id/upgrade",
      summary: "Change to another published version",
      tag: "plugins",
      access: { role: "admin" },
      params: pluginParams,
      body: z.strictObject({ version: z.string().min(1).max(200) }),
      success,
      errors: ["not_found", "dependency_missing", "hub_version_unsupported", "dependency_in_use"],
      handler: async (call) =>
        presentInstallation(await lifecycle.upgrade(changeOf(call), asPluginId(call.params.id), call.body.version)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/plugins/:id",
      summary: "Call a function",
      tag: "plugins",
      access: { role: "member" },
      params: pluginParams,
      body: invokeBody,
      success: {
        status: 200,
        schema: z.object({ success: z.literal(true), result: z.unknown(), executionId: z.string() }),
        description: "The result.",
      },
      alsoAnswers: [
        {
          status: 202,
          schema: z.object({ executionId: z.string() }),
          description: "With `mode: async`: accepted, and done whatever happens to this hub.",
        },
      ],
      errors: [
        "not_found",
        "plugin_not_active",
        "function_not_found",
        "invalid_parameters",
        "plugin_error",
        "deadline_exceeded",
        "runner_lost",
        "concurrency_exceeded",
      ],
      async handler({ organization, params, body, actor, trace, signal }) {
        const request = {
          organization,
          plugin: asPluginId(params.id),
          kind: "function" as const,
          name: body.function,
          args: [body.parameters ?? {}],
          actor,
          trace,
          ...(body.sessionId === undefined ? {} : { sessionId: body.sessionId }),
        };
        if (body.mode === "async")
          return new Answer(202, { executionId: await invoker.enqueue(request).catch(refusedCall) });
        const { record, error } = await invoker.run({ ...request, signal }).catch(refusedCall);
        if (error) throw failedCall(error, record.id);
        return { success: true, result: record.result ?? null, executionId: record.id };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/plugins/:id/logs",
      summary: "The plugin's log, newest first; oldest first after `after`",
      tag: "plugins",
      access: { role: "viewer" },
      params: pluginParams,
      query: z.strictObject({
        ...page,
        level: z.enum(["debug", "info", "warn", "error"]).optional(),
        execution: z.string().max(100).optional(),
        after: z.coerce.number().int().min(0).optional(),
      }),
      success: { status: 200, schema: listOf("logs", z.record(z.string(), z.unknown())) },
      errors: ["not_found"],
      async handler({ organization, params, query }) {
        const plugin = asPluginId(params.id);
        await installations.get(organization, plugin);
        return executions.logs(organization, plugin, definedOnly(query));
      },
    }),
  ];
}

/** Error: `invalid_cursor`. */
function installedBefore(cursor: string): { installedAt: Date; id: string } {
  const [at, id] = decodeCursor(cursor, 2);
  const installedAt = new Date(String(at));
  if (Number.isNaN(installedAt.getTime())) throw new Problem("invalid_cursor");
  return { installedAt, id: String(id) };
}

/** A call that was refused before it became an execution. */
function refusedCall(error: unknown): never {
  throw error instanceof Problem ? failedCall(error, undefined) : error;
}

/** The same error with what the contract adds to a failed call. */
function failedCall(error: BackplaneError, executionId: string | undefined): BackplaneError {
  const problem = {
    success: false,
    error: { code: error.code, message: error.message },
    ...(executionId === undefined ? {} : { executionId }),
  };
  return new Problem(
    error.code,
    { ...error.details, problem },
    { ...(error.errors ? { errors: [...error.errors] } : {}), cause: error },
  );
}

function definedOnly<T extends Record<string, unknown>>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
