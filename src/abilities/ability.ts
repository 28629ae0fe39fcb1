/** What an ability is: its name, the shape of its arguments, when a plugin has it, and its work. One file each beside this one. */
import { z } from "zod";
import { isStorableText } from "../bus/event-record.ts";
import { BackplaneError } from "../errors/error.ts";
import { inputSentence } from "../errors/input-faults.ts";
import type { Installation } from "../installations/installations.ts";
import { permits } from "../policy/permits.ts";
import type { CallContext } from "./call-context.ts";

export interface AbilityRequest {
  context: CallContext;
  /** Aborted when the plugin's call ends. */
  signal: AbortSignal;
}

export interface Ability {
  readonly name: string;
  /** One-way messages have no answer and may be dropped under load. */
  readonly oneWay: boolean;
  /** Whether it appears on `ctx` at all. The permission for one use is checked in `run`. */
  available(installation: Installation): boolean;
  run(request: AbilityRequest, args: unknown): Promise<unknown>;
}

export interface AbilityDefinition<Schema extends z.ZodType> {
  name: string;
  oneWay?: boolean;
  /** A tuple: the arguments as the guest sent them. */
  schema: Schema;
  available?(installation: Installation): boolean;
  run(request: AbilityRequest, args: z.infer<Schema>): Promise<unknown>;
}

/** Error of a wrong argument: `ability_input`. */
export function defineAbility<Schema extends z.ZodType>(definition: AbilityDefinition<Schema>): Ability {
  return {
    name: definition.name,
    oneWay: definition.oneWay ?? false,
    available: definition.available ?? (() => true),
    async run(request, args) {
      const parsed = definition.schema.safeParse(args, { error: inputSentence });
      if (!parsed.success) throw wrongArguments(definition.name, parsed.error);
      try {
        return await definition.run(request, parsed.data);
      } catch (error) {
        // Arguments that are read within the work, such as optional ones.
        if (error instanceof z.ZodError) throw wrongArguments(definition.name, error);
        throw error;
      }
    },
  };
}

function wrongArguments(ability: string, { issues: [issue] }: z.ZodError): BackplaneError {
  const reason = issue ? `argument ${issue.path.join(".") || "list"}: ${issue.message}` : "wrong arguments";
  return new BackplaneError("ability_input", { ability, reason });
}

/** Text that the database can hold, of at most `max` characters. */
export const storableString = (max: number): z.ZodString =>
  z.string().max(max).refine(isStorableText, "must be well-formed text without control characters");

/** Error: `permission_denied`. The check is made on the grants as they are now in the hub, whatever the guest was told. */
export function requirePermission(context: CallContext, permission: string): void {
  if (!permits(context.installation.grants, permission)) {
    throw new BackplaneError("permission_denied", { plugin: context.installation.plugin, permission });
  }
}

/** Whether any grant starts with one of `prefixes`. */
export function hasGrant(installation: Installation, ...prefixes: string[]): boolean {
  return installation.grants.some((grant) =>
    prefixes.some((prefix) => grant === prefix || grant.startsWith(`${prefix}:`)),
  );
}

/** `{"$bytes": base64}`: how binary values cross the wall in JSON. */
export const bytesSchema = z.object({ $bytes: z.string() }).transform(({ $bytes }) => Buffer.from($bytes, "base64"));

export const toBytes = (bytes: Uint8Array): { $bytes: string } => ({
  $bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"),
});
