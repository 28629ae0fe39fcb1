/** Shapes that several routes share. */
import { z } from "zod";

export const pluginParams = z.strictObject({
  id: z.string().min(1).max(200).describe("The plugin's id, percent-encoded."),
});

export const page = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(2000).optional(),
};

export const grantsSchema = z.union([z.literal("all"), z.array(z.string().min(1).max(400)).max(200)]);
export const configSchema = z.record(z.string().max(200), z.unknown());

export const installationSchema = z.object({
  id: z.string(),
  name: z.string(),
  version: z.string(),
  digest: z.string().nullable(),
  runtime: z.enum(["isolate", "remote"]),
  status: z.enum(["pending_config", "active", "disabled", "quarantined"]),
  statusReason: z.string().nullable(),
  health: z.enum(["healthy", "degraded", "unhealthy", "unknown"]),
  healthReason: z.string().nullable(),
  grants: z.array(z.string()),
  pendingPermissions: z.array(z.string()),
  config: z.record(z.string(), z.unknown()),
  installedAt: z.string(),
  updatedAt: z.string(),
});

export const executionSchema = z.object({
  id: z.string(),
  plugin: z.string(),
  contribution: z.string(),
  status: z.enum(["queued", "running", "succeeded", "failed", "cancelled"]),
  result: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string(), stack: z.string().optional() }).optional(),
  progress: z.unknown().optional(),
  traceId: z.string(),
  cpuMs: z.number(),
  wallMs: z.number(),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
});

export const eventSchema = z.object({
  specversion: z.literal("1.0"),
  id: z.string(),
  source: z.string(),
  type: z.string(),
  subject: z.string().optional(),
  time: z.string(),
  data: z.unknown(),
  organization: z.string(),
  traceparent: z.string().optional(),
});

export const listOf = (plural: string, item: z.ZodType): z.ZodType =>
  z.object({ [plural]: z.array(item), nextCursor: z.string().nullable() });
