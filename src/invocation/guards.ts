/** What must hold before a call may run. */
import type { Restriction } from "../abilities/call-context.ts";
import type { PluginId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { compilePluginSchema } from "../manifest/compile-schema.ts";
import { grantedHosts } from "../policy/permits.ts";
import { syncBatches } from "./contributions.ts";
import type { InvokeRequest } from "./invoker.ts";

const maxDepth = 8;

export function assertActive(installation: Installation): void {
  if (installation.status === "active") return;
  if (installation.status === "quarantined") {
    throw new BackplaneError("plugin_quarantined", {
      plugin: installation.plugin,
      reason: installation.statusReason ?? "no reason kept",
    });
  }
  throw new BackplaneError("plugin_not_active", { plugin: installation.plugin, status: installation.status });
}

export function checkParameters(schema: Record<string, unknown>, request: InvokeRequest): void {
  const faults = compilePluginSchema(schema).validate(request.args[0]);
  if (faults.length > 0) throw new BackplaneError("invalid_parameters", { name: request.name }, { errors: faults });
}

export function nextChain(request: InvokeRequest): PluginId[] {
  const chain = request.parent?.chain ?? [];
  if (chain.includes(request.plugin)) throw new BackplaneError("call_cycle", { plugin: request.plugin });
  if (chain.length >= maxDepth) throw new BackplaneError("call_depth_exceeded", { limit: maxDepth });
  return [...chain, request.plugin];
}

/** What a call may not do whatever its plugin's grants, by what kind of call it is. */
export function restrictionOf(
  { manifest }: Installation,
  { kind, name, parent }: InvokeRequest,
): Restriction | undefined {
  if (kind === "connector" && name === syncBatches) return { kind: "sync" };
  if (kind === "variable") return { kind: "pure", hosts: [] };
  if (kind === "condition") {
    const operator = manifest.contributes?.conditions?.find(({ id }) => id === name);
    return { kind: "pure", hosts: grantedHosts(operator?.permissions ?? []) };
  }
  return parent?.restriction;
}
