/** Asks plugins for their own health: once after they became active, then when they were in use since the last time. */

import { isObject } from "../base/json.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Invoker } from "../invocation/invoker.ts";
import type { HealthMonitor } from "./health.ts";

export interface HealthChecks {
  /** One round over all active installations. */
  run(): Promise<void>;
  /** Notes that a plugin was in use. */
  used(installation: Installation): void;
}

export interface HealthChecksOptions {
  installations: Installations;
  invoker: Invoker;
  monitor: HealthMonitor;
  /** @default 5000 */
  timeoutMs?: number;
}

const states = ["healthy", "degraded", "unhealthy"] as const;

export function createHealthChecks({
  installations,
  invoker,
  monitor,
  timeoutMs = 5_000,
}: HealthChecksOptions): HealthChecks {
  /** Revision at which a plugin was last asked; `missing` when its code has no health handler. */
  const asked = new Map<string, { revision: number; missing: boolean; due: boolean }>();

  const ask = async (installation: Installation): Promise<void> => {
    const known = asked.get(installation.id);
    if (known?.revision === installation.revision && (known.missing || !known.due)) return;
    const entry = { revision: installation.revision, missing: false, due: false };
    asked.set(installation.id, entry);
    const { record, error } = await invoker.run({
      organization: installation.organization,
      plugin: installation.plugin,
      kind: "health",
      name: "health",
      args: [],
      actor: "system",
      timeoutMs,
    });
    if (error?.code === "handler_missing") {
      entry.missing = true;
      return;
    }
    if (error)
      return monitor.report(installation, {
        health: "unhealthy",
        reason: `health check failed: ${error.message}`.slice(0, 500),
      });
    const answer = isObject(record.result) ? record.result : {};
    const health = states.find((state) => state === answer["status"]) ?? "unknown";
    monitor.report(installation, {
      health,
      reason: typeof answer["message"] === "string" ? answer["message"].slice(0, 500) : null,
    });
  };

  return {
    async run() {
      const active = await installations.listActive();
      const ids = new Set<string>(active.map(({ id }) => id));
      for (const id of asked.keys()) if (!ids.has(id)) asked.delete(id);
      // One after the other: a round must never be a burst of cold starts.
      for (const installation of active) {
        if (installation.digest !== null) await ask(installation).catch(() => {});
      }
    },
    used(installation) {
      const known = asked.get(installation.id);
      if (known) known.due = true;
    },
  };
}
