/** Automation rules: their sources and versions, what they can name, trying them dry and over past events, their runs, and the hooks that set them off. */
import { z } from "zod";
import { asOrganizationId } from "../../../base/brands.ts";
import { isObject, parseJson, parseJsonText } from "../../../base/json.ts";
import { isStorableText } from "../../../bus/event-record.ts";
import { BackplaneError } from "../../../errors/error.ts";
import { inputFaults, inputSentence } from "../../../errors/input-faults.ts";
import { pageOf } from "../page-of.ts";
import { defineRoute, type RouteCall, type RouteSpec } from "../route.ts";
import { listOf, page } from "../schemas.ts";
import type { HttpServices } from "../services.ts";

const text = (max: number) => z.string().min(1).max(max).refine(isStorableText, "must hold no control characters");
/** A rule's source: longer ones are refused by the language with a fault. */
const source = z.string().max(256 * 1024);
const reason = text(500).optional();
const ruleParams = z.strictObject({ id: text(100) });
const idParams = z.strictObject({ id: text(100) });
const versionParams = z.strictObject({
  id: text(100),
  n: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31 - 1),
});
const record = z.record(z.string(), z.unknown());
const ruleSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  version: z.number(),
  enabled: z.boolean(),
  state: z.enum(["enabled", "disabled", "broken"]),
  source: z.string(),
});
const runSchema = z.looseObject({
  id: z.string(),
  rule: z.string(),
  status: z.string(),
  reason: z.string().nullable(),
});
const replaySchema = z.looseObject({ id: z.string(), status: z.string() });
const faultSchema = z.object({
  code: z.string(),
  message: z.string(),
  line: z.number(),
  column: z.number(),
  path: z.string(),
});
const runStatus = z.enum(["queued", "running", "succeeded", "failed", "cancelled", "skipped"]);
const eventSchema = z.strictObject({
  type: text(200).optional(),
  subject: text(512).optional(),
  data: z.unknown(),
});
const replayErrors = ["invalid_rule", "not_found", "conflict"] as const;

/** JSON, or the YAML itself. */
const sourceTypes = ["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
const maxSourceBody = 512 * 1024;
const maxHookBody = 256 * 1024;
const savedSchema = z.strictObject({
  source,
  reason,
  ifVersion: z.number().int().min(1).optional(),
});
const savedQuery = z.strictObject({ reason, ifVersion: z.coerce.number().int().min(1).optional() });
/** Headers that tell of the sender and of nothing else; a rule sees these and the vendor's own `x-` ones. */
const hookHeaders = /^(content-type|user-agent|x-(?!forwarded|real-ip|organization-id).+)$/;

export function ruleRoutes({ rules }: Pick<HttpServices, "rules">): RouteSpec[] {
  return [...savingRoutes(rules), ...tryingRoutes(rules), ...runRoutes(rules), hookRoute(rules)];
}

type Rules = HttpServices["rules"];

function savingRoutes(rules: Rules): RouteSpec[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/rules",
      summary: "Rules, by id",
      tag: "rules",
      access: { role: "viewer" },
      query: z.strictObject({ ...page, state: z.enum(["enabled", "disabled", "broken"]).optional() }),
      success: { status: 200, schema: listOf("rules", ruleSchema) },
      errors: ["invalid_cursor"],
      async handler({ organization, query, principal }) {
        const { rules: found, nextCursor } = await rules.list(organization, query);
        return { rules: found.map((rule) => forReader(rule, principal)), nextCursor };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules",
      summary: "Save a new rule: JSON `{source, reason?}`, or the YAML itself",
      tag: "rules",
      access: { role: "admin" },
      query: savedQuery,
      raw: { types: sourceTypes, maxBytes: maxSourceBody },
      success: { status: 201, schema: ruleSchema },
      errors: ["invalid_rule", "conflict", "payload_too_large", "unsupported_media_type"],
      handler: ({ organization, actor, trace, ...call }) =>
        rules.create({ organization, actor, traceId: trace.traceId }, readSaved(call)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/apply",
      summary: "Save many rules at once, all or none; the same again changes nothing",
      tag: "rules",
      access: { role: "admin" },
      body: z.strictObject({
        files: z.array(z.strictObject({ file: text(500), source })).max(500),
        reason,
      }),
      success: { status: 200, schema: z.object({ applied: z.array(record) }) },
      errors: ["invalid_rule", "conflict"],
      async handler({ organization, actor, trace, body }) {
        return {
          applied: await rules.apply({ organization, actor, traceId: trace.traceId }, body.files, body.reason),
        };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/:id",
      summary: "One rule",
      tag: "rules",
      access: { role: "viewer" },
      params: ruleParams,
      success: { status: 200, schema: ruleSchema },
      errors: ["not_found"],
      handler: async ({ organization, params, principal }) =>
        forReader(await rules.get(organization, params.id), principal),
    }),
    defineRoute({
      method: "PUT",
      path: "/api/rules/:id",
      summary: "Replace a rule; with `ifVersion` only if nobody has changed it since",
      tag: "rules",
      access: { role: "admin" },
      params: ruleParams,
      query: savedQuery,
      raw: { types: sourceTypes, maxBytes: maxSourceBody },
      success: { status: 200, schema: ruleSchema },
      errors: ["invalid_rule", "not_found", "conflict", "payload_too_large", "unsupported_media_type"],
      handler: ({ organization, actor, trace, params, ...call }) =>
        rules.update({ organization, actor, traceId: trace.traceId }, params.id, readSaved(call)),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/rules/:id",
      summary: "Delete a rule with its versions; its open runs are cancelled, the records of runs stay",
      tag: "rules",
      access: { role: "admin" },
      params: ruleParams,
      success: { status: 204 },
      errors: ["not_found"],
      handler: ({ organization, actor, trace, params }) =>
        rules.remove({ organization, actor, traceId: trace.traceId }, params.id),
    }),
    ...(["enable", "disable"] as const).map((verb) =>
      defineRoute({
        method: "POST",
        path: `/api/rules/:id/${verb}`,
        summary: verb === "enable" ? "Let events set the rule off" : "Let nothing set the rule off; open runs go on",
        tag: "rules",
        access: { role: "admin" },
        params: ruleParams,
        success: { status: 200, schema: ruleSchema },
        errors: ["not_found", "rule_broken"],
        handler: ({ organization, actor, trace, params }) =>
          rules.setEnabled({ organization, actor, traceId: trace.traceId }, params.id, verb === "enable"),
      }),
    ),
    defineRoute({
      method: "GET",
      path: "/api/rules/:id/versions",
      summary: "Versions of a rule, newest first: source, who, when and why",
      tag: "rules",
      access: { role: "viewer" },
      params: ruleParams,
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("versions", record) },
      errors: ["not_found", "invalid_cursor"],
      handler: ({ organization, params, query }) => rules.versions(organization, params.id, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/:id/versions/:n/diff",
      summary: "What changed in meaning from this version to another, which is the newest when none is named",
      tag: "rules",
      access: { role: "viewer" },
      params: versionParams,
      query: z.strictObject({
        to: z.coerce
          .number()
          .int()
          .min(1)
          .max(2 ** 31 - 1)
          .optional(),
      }),
      success: { status: 200, schema: z.object({ changes: z.array(record) }) },
      errors: ["not_found"],
      async handler({ organization, params: { id, n }, query }) {
        const to = query.to ?? (await rules.get(organization, id)).version;
        return { changes: await rules.diff(organization, id, n, to) };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/:id/versions/:n/restore",
      summary: "Make a new version with the source of this one",
      tag: "rules",
      access: { role: "admin" },
      params: versionParams,
      success: { status: 200, schema: ruleSchema },
      errors: ["not_found", "invalid_rule"],
      handler: ({ organization, actor, trace, params }) =>
        rules.restore({ organization, actor, traceId: trace.traceId }, params.id, params.n),
    }),
  ];
}

function tryingRoutes(rules: Rules): RouteSpec[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/rules/operators",
      summary: "Conditions, actions and variables that rules can name, from the plugins that are installed",
      tag: "rules",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("operators", record) },
      errors: ["invalid_cursor"],
      async handler({ organization, query }) {
        const all = await rules.operators(organization);
        const { items, nextCursor } = pageOf(all, ({ id, kind, plugin }) => `${id} ${kind} ${plugin}`, query);
        return { operators: items, nextCursor };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/validate",
      summary: "Check a rule without saving it: every fault with line and column",
      tag: "rules",
      access: { role: "member" },
      raw: { types: sourceTypes, maxBytes: maxSourceBody },
      success: {
        status: 200,
        schema: z.object({
          valid: z.boolean(),
          faults: z.array(faultSchema),
          id: z.string().optional(),
          name: z.string().optional(),
        }),
      },
      errors: ["payload_too_large", "unsupported_media_type"],
      handler: ({ organization, ...call }) => rules.validate(organization, readSaved(call).source),
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/dry-run",
      summary: "One event against a draft or a rule: conditions are asked, actions are only shown",
      tag: "rules",
      access: { role: "member" },
      body: z.strictObject({
        source: source.optional(),
        rule: text(100).optional(),
        event: eventSchema.optional(),
        eventId: text(256).optional(),
      }),
      success: { status: 200, schema: z.looseObject({ valid: z.boolean(), faults: z.array(faultSchema) }) },
      errors: ["not_found", "rule_broken", "plugin_not_active", "plugin_quarantined", "rate_limited"],
      handler: ({ organization, body, trace, signal }) => rules.dryRun({ organization, ...body, trace, signal }),
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/replay",
      summary: "Try a draft over the stored events of some days, beside the live rule; nothing is executed",
      tag: "rules",
      access: { role: "member" },
      body: z.strictObject({
        source: source.optional(),
        rule: text(100).optional(),
        days: z.number().min(0.001).max(400).optional(),
        from: z.iso.datetime({ offset: true }).optional(),
        to: z.iso.datetime({ offset: true }).optional(),
        type: text(200).optional(),
      }),
      success: { status: 202, schema: replaySchema },
      errors: replayErrors,
      handler: ({ organization, actor, body: { from, to, ...body } }) =>
        rules.replays.start(
          { organization, actor },
          {
            ...body,
            from: from === undefined ? undefined : new Date(from),
            to: to === undefined ? undefined : new Date(to),
          },
        ),
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/replays",
      summary: "Replays, newest first",
      tag: "rules",
      access: { role: "viewer" },
      query: z.strictObject(page),
      success: { status: 200, schema: listOf("replays", replaySchema) },
      errors: ["invalid_cursor"],
      handler: ({ organization, query }) => rules.replays.list(organization, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/replays/:id",
      summary: "A replay's progress, or its result",
      tag: "rules",
      access: { role: "viewer" },
      params: idParams,
      success: { status: 200, schema: replaySchema },
      errors: ["not_found"],
      handler: ({ organization, params }) => rules.replays.get(organization, params.id),
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/replays/:id/decisions",
      summary:
        "What the draft, and the live rule, would have done about which event: a sample of each kind, oldest first",
      tag: "rules",
      access: { role: "viewer" },
      params: idParams,
      query: z.strictObject({
        ...page,
        change: z.enum(["only_draft", "only_live", "changed"]).optional(),
        draft: z.enum(["no_match", "not_met", "throttled", "failed", "would_run"]).optional(),
      }),
      success: { status: 200, schema: listOf("decisions", record) },
      errors: ["not_found", "invalid_cursor"],
      handler: ({ organization, params, query }) => rules.replays.decisions(organization, params.id, query),
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/replays/:id/cancel",
      summary: "Stop a replay",
      tag: "rules",
      access: { role: "member" },
      params: idParams,
      success: { status: 200, schema: replaySchema },
      errors: ["not_found", "conflict"],
      handler: ({ organization, params }) => rules.replays.cancel(organization, params.id),
    }),
  ];
}

function runRoutes(rules: Rules): RouteSpec[] {
  const runQuery = {
    ...page,
    status: runStatus.optional(),
    trigger: z.enum(["event", "cron", "webhook", "manual"]).optional(),
    eventId: text(256).optional(),
    traceId: text(64).optional(),
    since: z.iso.datetime({ offset: true }).optional(),
  };
  const listed = (organization: Parameters<Rules["runs"]["list"]>[0], query: Record<string, unknown>) =>
    rules.runs.list(organization, {
      ...query,
      since: typeof query["since"] === "string" ? new Date(query["since"]) : undefined,
    });
  return [
    defineRoute({
      method: "POST",
      path: "/api/rules/:id/run",
      summary: "Set a rule off by hand, with an event of one's own or one of the log",
      tag: "rules",
      access: { role: "member" },
      params: ruleParams,
      body: z.strictObject({ event: eventSchema.optional(), eventId: text(256).optional() }),
      success: { status: 202, schema: z.object({ id: z.string(), status: runStatus }) },
      errors: ["not_found", "rule_broken"],
      async handler({ organization, params, body, actor, trace }) {
        const { id, status } = await rules.run({ organization, rule: params.id, ...body, actor, trace });
        return { id, status };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/:id/runs",
      summary: "Runs of one rule, newest first",
      tag: "rules",
      access: { role: "viewer" },
      params: ruleParams,
      query: z.strictObject(runQuery),
      success: { status: 200, schema: listOf("runs", runSchema) },
      errors: ["invalid_cursor", "not_found"],
      async handler({ organization, params, query }) {
        const found = await listed(organization, { ...query, rule: params.id });
        // Runs outlive their rule.
        if (found.runs.length === 0) await rules.get(organization, params.id);
        return found;
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/runs",
      summary: "Runs of all rules, newest first",
      tag: "rules",
      access: { role: "viewer" },
      query: z.strictObject({ ...runQuery, rule: text(100).optional() }),
      success: { status: 200, schema: listOf("runs", runSchema) },
      errors: ["invalid_cursor"],
      handler: ({ organization, query }) => listed(organization, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/rules/runs/:id",
      summary: "One run with its trace: what set it off, every condition, every step, and why it stopped",
      tag: "rules",
      access: { role: "viewer" },
      params: idParams,
      success: { status: 200, schema: runSchema },
      errors: ["not_found"],
      handler: ({ organization, params }) => rules.runs.get(organization, params.id),
    }),
    defineRoute({
      method: "POST",
      path: "/api/rules/runs/:id/cancel",
      summary: "Cancel a run: no further step begins, and what is under way is told to stop",
      tag: "rules",
      access: { role: "member" },
      params: idParams,
      success: { status: 200, schema: runSchema },
      errors: ["not_found", "conflict"],
      handler: ({ organization, params }) => rules.runs.cancel(organization, params.id),
    }),
  ];
}

function hookRoute(rules: Rules): RouteSpec {
  return defineRoute({
    method: "POST",
    path: "/hooks/:org/:token",
    summary: "Set a rule off from outside; the body is the event's data",
    tag: "rules",
    access: { public: true, why: "whoever sends has no token of ours; the address of the hook is one by itself" },
    params: z.strictObject({ org: text(100), token: text(100) }),
    openQuery: true,
    raw: { types: ["*"], maxBytes: maxHookBody },
    success: { status: 202, schema: z.object({ run: z.string() }) },
    errors: ["not_found", "payload_too_large", "rate_limited"],
    async handler({ params, body, headers, trace }) {
      const key = headers["idempotency-key"] ?? headers["webhook-id"];
      const run = await rules.hook({
        organization: asOrganizationId(params.org),
        token: params.token,
        body: bodyOf(body),
        headers: shownHeaders(headers),
        ...(typeof key === "string" && key !== "" ? { idempotencyKey: key.slice(0, 500) } : {}),
        trace,
      });
      return { run: run.id };
    },
  });
}

/** JSON as a value, other text as it is. */
function bodyOf(body: unknown): unknown {
  if (!Buffer.isBuffer(body) || body.byteLength === 0) return null;
  const decoded = new TextDecoder().decode(body);
  try {
    return parseJsonText(decoded);
  } catch {
    return decoded;
  }
}

function shownHeaders(headers: RouteCall<unknown, unknown, unknown>["headers"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || !hookHeaders.test(name) ? [] : [[name, String(value).slice(0, 500)]],
    ),
  );
}

/** The address of a hook lets anybody run the rule, so only those see it who may. */
function forReader<Rule extends { hooks: unknown }>(
  rule: Rule,
  principal: RouteCall<unknown, unknown, unknown>["principal"],
): Rule {
  return principal?.kind === "key" && principal.role === "viewer" ? { ...rule, hooks: [] } : rule;
}

type SourceCall = Pick<RouteCall<unknown, unknown, unknown>, "body" | "headers"> & { query?: unknown };

/** Error: `invalid_input`, `invalid_json`. */
function readSaved({ body, headers, query }: SourceCall): z.infer<typeof savedSchema> {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  const asked = isObject(query) ? query : {};
  if (!/^application\/json\b/.test(String(headers["content-type"] ?? "application/json")))
    return { source: decodeText(bytes), ...(asked as object) };
  const given = { ...asked, ...(parseJson(bytes, maxSourceBody) as object) };
  const parsed = savedSchema.safeParse(given, { error: inputSentence });
  if (parsed.success) return parsed.data;
  throw new BackplaneError("invalid_input", {}, { errors: inputFaults(parsed.error) });
}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BackplaneError("invalid_input", {}, { errors: [{ path: "$", message: "is not UTF-8 text" }] });
  }
}
