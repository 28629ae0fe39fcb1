/** `ctx.execution.progress(value)`: how far a call is; the latest value is kept with its execution. */
import { z } from "zod";
import { type Ability, defineAbility } from "./ability.ts";

const maxBytes = 4_096;

export function createProgressAbility(): Ability {
  return defineAbility({
    name: "progress.report",
    oneWay: true,
    schema: z.tuple([z.unknown()]),
    async run({ context }, [value]) {
      if (JSON.stringify(value ?? null).length <= maxBytes) context.onProgress(value ?? null);
    },
  });
}
