/** What a call may not do because of what kind of call it is, whatever its plugin's grants. Structurally the `Restriction` of src/abilities. */

export type CallRestriction = { kind: "sync" } | { kind: "pure"; hosts: readonly string[] };

const changesEntities: ReadonlySet<string> = new Set(["data.upsert", "data.delete", "data.link", "data.unlink"]);

/** A pure call only looks, so this is a list of what is allowed: an ability that comes later is refused until it is judged. */
const looks: ReadonlySet<string> = new Set([
  "data.query",
  "data.getById",
  "data.page",
  "data.count",
  "storage.get",
  "storage.list",
  "crypto.digest",
  "crypto.hmac",
  "crypto.timingSafeEqual",
  "crypto.subtle",
  "http.abort",
  "http.abort",
  "log.write",
  "progress.report",
]);

/** Why the ability is refused, as the end of a sentence; `undefined` when it is not. */
export function restrictionReason(restriction: CallRestriction | undefined, ability: string): string | undefined {
  if (restriction === undefined) return undefined;
  if (restriction.kind === "sync") {
    return changesEntities.has(ability)
      ? "inside `sync`, entities are stored with their batch and its cursor in one transaction: yield items and let `mapToUnifiedModel` give the entities"
      : undefined;
  }
  if (looks.has(ability)) return undefined;
  if (ability === "http.fetch") {
    return restriction.hosts.length === 0
      ? "conditions and variables only look: a condition that needs the network declares `network:outbound:<host>` among its own `permissions` in plugin.json"
      : undefined;
  }
  return "conditions and variables only look: let an action do it";
}
