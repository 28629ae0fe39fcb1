/** `ctx.plugins.call`: a function of another plugin of the organisation, under that plugin's own grants. Needs `plugin:call:<pluginId>`. */
import { z } from "zod";
import { type Ability, defineAbility, hasGrant, requirePermission } from "./ability.ts";
import type { CallContext } from "./call-context.ts";

/** Supplied by the composition root: invocation stands on a higher floor. */
export type CallPlugin = (call: {
  from: CallContext;
  plugin: string;
  name: string;
  parameters: unknown;
  signal: AbortSignal;
}) => Promise<unknown>;

export function createPluginsAbility({ callPlugin }: { callPlugin: CallPlugin }): Ability {
  return defineAbility({
    name: "plugins.call",
    available: (installation) => hasGrant(installation, "plugin:call"),
    schema: z.tuple([z.string().max(200), z.string().max(200)]).rest(z.unknown()),
    async run({ context, signal }, [plugin, name, parameters]) {
      requirePermission(context, `plugin:call:${plugin}`);
      return callPlugin({ from: context, plugin, name, parameters: parameters ?? {}, signal });
    },
  });
}
