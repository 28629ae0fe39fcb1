/** `ctx.secrets`: what the hub keeps for the plugin of services' answers, by name. Needs `secrets:keep`; nothing here gives a value. */
import { z } from "zod";
import type { Installation } from "../installations/installations.ts";
import type { KeptSecrets } from "../secrets/kept-secrets.ts";
import { type Ability, defineAbility, hasGrant, requirePermission } from "./ability.ts";
import { keptName } from "./seal-answer.ts";

export function createSecretsAbilities({ kept }: { kept: KeptSecrets }): Ability[] {
  const available = (installation: Installation): boolean => hasGrant(installation, "secrets:keep");
  return [
    defineAbility({
      name: "secrets.list",
      available,
      schema: z.tuple([]),
      async run({ context }) {
        requirePermission(context, "secrets:keep");
        const { all } = await kept.of(context.installation);
        return all.map(({ name, host, createdAt }) => ({ name, host, createdAt: createdAt.toISOString() }));
      },
    }),
    defineAbility({
      name: "secrets.forget",
      available,
      schema: z.tuple([keptName]),
      async run({ context }, [name]) {
        requirePermission(context, "secrets:keep");
        return kept.forget(context.installation, name);
      },
    }),
  ];
}
