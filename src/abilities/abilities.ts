/** The table of abilities and the two entries a runtime calls: answer one, or take a one-way message. */
import { encodeJson, parseJson } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { restrictionReason } from "../policy/restrictions.ts";
import type { AbilityCall } from "../runtimes/runtime.ts";
import type { Ability } from "./ability.ts";
import { type CallContext, isCallContext } from "./call-context.ts";

export interface Abilities {
  /** For `GuestEnvironment.abilities`. */
  namesFor(installation: Installation): string[];
  /** Errors: `ability_unknown`, `ability_restricted`, `ability_input`, `permission_denied`, and those of the ability. */
  answer(call: AbilityCall): Promise<Uint8Array>;
  take(message: Omit<AbilityCall, "signal">): void;
}

const never = new AbortController().signal;

/** Bytes of arguments that one installation's unanswered calls may hold in the hub's memory. */
const maxBytesUnderWay = 32 * 1024 * 1024;

export interface AbilitiesOptions {
  abilities: readonly Ability[];
  /** The installation as it is now: a grant taken back in the middle of a call is gone at once. */
  refresh(installation: Installation): Promise<Installation | undefined>;
}

/** False when nothing speaks for the call any more: its installation is gone, replaced under the same id, or quarantined. */
async function bringUpToDate(context: CallContext, refresh: AbilitiesOptions["refresh"]): Promise<boolean> {
  const current = await refresh(context.installation);
  if (current === undefined || current.id !== context.installation.id || current.status === "quarantined") return false;
  context.installation = current;
  return true;
}

export function createAbilities({ abilities: list, refresh }: AbilitiesOptions): Abilities {
  const table = new Map(list.map((ability) => [ability.name, ability]));

  const find = async (call: Omit<AbilityCall, "signal">, oneWay: boolean): Promise<Ability> => {
    const ability = table.get(call.ability);
    const inForce = isCallContext(call.context) && (await bringUpToDate(call.context, refresh));
    if (
      !inForce ||
      !ability ||
      ability.oneWay !== oneWay ||
      !isCallContext(call.context) ||
      !ability.available(call.context.installation)
    ) {
      throw new BackplaneError("ability_unknown", { ability: call.ability.slice(0, 80) });
    }
    return ability;
  };

  const run = (call: Omit<AbilityCall, "signal">, ability: Ability, signal: AbortSignal): Promise<unknown> => {
    if (!isCallContext(call.context)) throw new BackplaneError("ability_unknown", { ability: call.ability });
    const { abilityCalls: counts, restriction, installation } = call.context;
    const reason = restrictionReason(restriction, ability.name);
    if (reason !== undefined)
      throw new BackplaneError("ability_restricted", { plugin: installation.plugin, ability: ability.name, reason });
    counts[ability.name] = (counts[ability.name] ?? 0) + 1;
    return ability.run({ context: call.context, signal }, parseJson(call.args, call.instance.limits.messageBytes));
  };

  const underWay = new Map<string, number>();

  /** A plugin may have hundreds of calls under way, each with arguments of megabytes: what the hub keeps of them is bounded as a whole. */
  const holding = async <T>(call: AbilityCall, work: () => Promise<T>): Promise<T> => {
    const { installation, plugin } = call.instance;
    const bytes = call.args.byteLength;
    const held = underWay.get(installation) ?? 0;
    if (held > 0 && held + bytes > maxBytesUnderWay)
      throw new BackplaneError("limit_exceeded", {
        plugin,
        what: `${maxBytesUnderWay} bytes of arguments under way`,
      });
    underWay.set(installation, held + bytes);
    try {
      return await work();
    } finally {
      const left = (underWay.get(installation) ?? 0) - bytes;
      if (left > 0) underWay.set(installation, left);
      else underWay.delete(installation);
    }
  };

  return {
    namesFor: (installation) =>
      list.filter((ability) => ability.available(installation)).map((ability) => ability.name),
    async answer(call) {
      return holding(call, async () => encodeJson(await run(call, await find(call, false), call.signal)));
    },
    take(message) {
      // A message the hub does not understand has nobody to be told; the guest's own faces never send one.
      find(message, true)
        .then((ability) => run(message, ability, never))
        .catch(() => {});
    },
  };
}
