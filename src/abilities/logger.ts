/** `ctx.logger`: lines of the plugin's log, capped, rate limited, and with sealed secrets blotted out. */
import { z } from "zod";
import type { ExecutionId, OrganizationId, PluginId } from "../base/brands.ts";
import { TokenBuckets } from "../base/token-bucket.ts";
import type { Installation } from "../installations/installations.ts";
import { type Ability, defineAbility } from "./ability.ts";

export interface GuestLogLine {
  organization: OrganizationId;
  plugin: PluginId;
  execution: ExecutionId;
  at: Date;
  level: "debug" | "info" | "warn" | "error";
  message: string;
  data?: unknown;
}

export interface LoggerOptions {
  write(line: GuestLogLine): void;
  /** Replaces the bytes of the installation's sealed secrets in a text. */
  redact(installation: Installation, text: string): string;
  /** Lines per second and installation. @default 200, burst 1000 */
  rate?: { perSecond: number; burst: number };
}

const maxMessage = 8_192;
const maxData = 16_384;

export function createLoggerAbility({ write, redact, rate = { perSecond: 200, burst: 1000 } }: LoggerOptions): Ability {
  const buckets = new TokenBuckets(rate);
  const dropped = new Map<string, number>();
  return defineAbility({
    name: "log.write",
    oneWay: true,
    schema: z.tuple([z.enum(["debug", "info", "warn", "error"]), z.string()]).rest(z.unknown()),
    async run({ context }, [level, message, data]) {
      const { installation } = context;
      const slot = `${context.organization}\0${installation.plugin}`;
      if (buckets.take(slot) > 0) {
        dropped.set(slot, (dropped.get(slot) ?? 0) + 1);
        return;
      }
      const line: GuestLogLine = {
        organization: context.organization,
        plugin: installation.plugin,
        execution: context.execution,
        at: new Date(),
        level,
        // Cut only after redaction, so that no part of a secret is left at the edge.
        message: redact(installation, message.slice(0, 2 * maxMessage)).slice(0, maxMessage),
      };
      const encoded = data === undefined || data === null ? undefined : redact(installation, JSON.stringify(data));
      if (encoded !== undefined)
        line.data = encoded.length > maxData ? { truncated: encoded.slice(0, maxData) } : readJson(encoded);
      const lost = dropped.get(slot);
      if (lost) {
        dropped.delete(slot);
        write({
          ...line,
          level: "warn",
          message: `${lost} log lines were dropped: more than ${rate.perSecond} a second`,
          data: undefined,
        });
      }
      write(line);
    },
  });
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Blotting out a secret may have broken the syntax; the text still helps.
    return text;
  }
}
