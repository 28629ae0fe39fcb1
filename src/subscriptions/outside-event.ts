/** What people and embedding programs may publish: not what the hub and plugins alone say, and only types that can be subscribed to. */
import { hubEventIds, pluginEventIds } from "../bus/event-record.ts";
import { BackplaneError, type FieldError } from "../errors/error.ts";
import { eventTypeFault } from "../manifest/event-pattern.ts";

/** Event domains that only the hub publishes. */
const reserved = /^(plugin|backplane)(\.|$)/;

/** Error: `invalid_input`. */
export function assertOutsideEvent({ type, id }: { type: string; id?: string | undefined }): void {
  const fault = faultOf(type, id);
  if (fault) throw new BackplaneError("invalid_input", {}, { errors: [fault] });
}

function faultOf(type: string, id: string | undefined): FieldError | undefined {
  if (reserved.test(type))
    return { path: "type", message: "events of `plugin` and `backplane` are published by the hub only" };
  const taken = [pluginEventIds, hubEventIds].find((prefix) => id?.startsWith(prefix));
  if (taken !== undefined) return { path: "id", message: `ids that begin with \`${taken}\` are not for people` };
  const message = eventTypeFault(type);
  return message === undefined ? undefined : { path: "type", message };
}
