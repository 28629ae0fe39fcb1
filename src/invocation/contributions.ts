/** Finds what a manifest declares for a call, and where its handler stands in the plugin's definition. */

import type { Manifest } from "../../plugin-api/src/manifest.ts";
import { BackplaneError } from "../errors/error.ts";
import { secretFields } from "../manifest/secret-fields.ts";
import type { ContributionKind } from "./execution-record.ts";

export interface Contribution {
  /** Path of the handler in the definition. */
  handler: readonly string[];
  /** JSON Schema of the parameters, when declared. */
  parameters?: Record<string, unknown>;
  /** JSON Schema of the result, when declared. */
  returns?: Record<string, unknown>;
  /** Permissions that must be granted for this one contribution, besides the plugin's required ones. */
  permissions: readonly string[];
  /** A call lost through no fault of its own may be made again. */
  idempotent: boolean;
  /** The result holds a secret: the caller gets it, no record keeps it. */
  confidential: boolean;
}

/** Built-in handlers of connectors: `sync` with `mapToUnifiedModel` as a stream of batches, and `handleIncomingEvent` with it. */
export const syncBatches = "syncBatches";
export const incomingChanges = "incomingChanges";

const declared = (handler: readonly string[], idempotent: boolean): Contribution => ({
  handler,
  permissions: [],
  idempotent,
  confidential: false,
});

const confidential = new WeakMap<object, boolean>();

/** Whether the schema of a result has `"format": "secret"` anywhere. Looked for once: every call asks. */
function holdsSecret(returns: object | undefined): boolean {
  if (returns === undefined) return false;
  let known = confidential.get(returns);
  if (known === undefined) {
    known = secretFields(returns).length > 0;
    confidential.set(returns, known);
  }
  return known;
}

/** Error: `function_not_found`. */
export function findContribution(manifest: Manifest, kind: ContributionKind, name: string): Contribution {
  switch (kind) {
    case "function": {
      const entry = manifest.contributes?.functions?.find((candidate) => candidate.name === name);
      if (!entry) break;
      return {
        handler: ["functions", name],
        ...(entry.parameters ? { parameters: entry.parameters as Record<string, unknown> } : {}),
        ...(entry.returns ? { returns: entry.returns as Record<string, unknown> } : {}),
        permissions: entry.permissions ?? [],
        idempotent: entry.idempotent ?? false,
        confidential: holdsSecret(entry.returns),
      };
    }
    case "subscription":
      // Deliveries are at-least-once by contract, so a handler must stand a repetition.
      if (manifest.contributes?.subscriptions?.includes(name)) return declared(["subscriptions", name], true);
      break;
    case "webhook":
      return declared(["webhook"], false);
    case "health":
      return declared(["health"], true);
    case "channel":
    case "connector":
      return declared([kind, name], name === "handleIncomingEvent" || name === incomingChanges || name === syncBatches);
    case "condition":
    case "action": {
      const plural = `${kind}s` as const;
      const entry = manifest.contributes?.[plural]?.find((candidate) => candidate.id === name);
      return {
        handler: [plural, name, kind === "condition" ? "evaluate" : "execute"],
        ...(entry?.parameters ? { parameters: entry.parameters as Record<string, unknown> } : {}),
        permissions: entry?.permissions ?? [],
        // A condition only looks, so it may always be asked again.
        idempotent: kind === "condition" || (entry?.idempotent ?? false),
        confidential: false,
      };
    }
    case "variable":
      if (manifest.contributes?.variables?.some((candidate) => candidate.name === name))
        return declared(["variables", name, "list"], true);
      break;
    case "data_adapter":
      return declared(["dataAdapters", ...name.split(".")], false);
  }
  throw new BackplaneError("function_not_found", { plugin: manifest.id, kind, name });
}
