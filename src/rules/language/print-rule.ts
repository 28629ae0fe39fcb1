/** A rule as YAML in one spelling: equal rules have equal text. Comments of the source are not in it. */
import { stringify } from "yaml";
import { isObject } from "../../base/json.ts";
import { canonicalRule } from "./diff-rules.ts";
import type { CompiledRule } from "./types.ts";

/** Compiles again, to an equal rule. */
export function printRule(rule: CompiledRule): string {
  const canonical = canonicalRule(rule);
  // `max` goes with two modes only.
  if (rule.mode !== "queued" && rule.mode !== "parallel") delete canonical["max"];
  if ((canonical["conditions"] as unknown[]).length === 0) delete canonical["conditions"];
  return stringify(spelled(canonical, false), { lineWidth: 0, aliasDuplicateObjects: false });
}

const durations = new Set(["per", "timeout", "backoffMs", "maxBackoffMs"]);
const names: Record<string, string> = { backoffMs: "backoff", maxBackoffMs: "maxBackoff" };

/** Null stands for what is not there, except in params, which are the operator's. */
function spelled(value: unknown, params: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => spelled(item, params));
  if (!isObject(value) || params) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([name, item]) => [
        names[name] ?? name,
        durations.has(name) && typeof item === "number" ? duration(item) : spelled(item, name === "params"),
      ]),
  );
}

function duration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
