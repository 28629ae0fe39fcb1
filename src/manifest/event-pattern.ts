/** Event types (`order.created`) and patterns (`order.*`): the one grammar for manifests, grants, subscriptions and queries. */
import { clip } from "./path.ts";

const typeShape = /^[a-z][a-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)+$/;
const domainShape = /^[a-z][a-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*\.\*$/;
const maxLength = 200;

/** Undefined when `type` is a valid event type; else what is wrong. */
export function eventTypeFault(type: string): string | undefined {
  if (type.length > maxLength) return `an event type has at most ${maxLength} characters`;
  if (type.includes("*")) return "an event type has no `*`";
  if (typeShape.test(type)) return undefined;
  if (!type.includes(".")) return `\`${clip(type)}\` has no domain; write one in front, as in \`order.created\``;
  return `\`${clip(type)}\` is not an event type; write a lower-case domain and names joined by \`.\`, as in \`order.created\``;
}

/** Undefined when `pattern` is a type or a domain with `.*`; else what is wrong. */
export function eventPatternFault(pattern: string): string | undefined {
  if (pattern.length > maxLength) return `an event pattern has at most ${maxLength} characters`;
  if (typeShape.test(pattern) || domainShape.test(pattern)) return undefined;
  if (/^[*.>#]+$/.test(pattern)) return `\`${clip(pattern)}\` would take every event; name a domain, as in \`order.*\``;
  if (/^[a-z][a-z0-9_-]*$/.test(pattern))
    return `\`${pattern}\` is a domain; write \`${pattern}.*\` for all its events`;
  if (pattern.slice(0, -1).includes("*") || pattern.endsWith("*")) {
    return `\`${clip(pattern)}\` is not a pattern; \`*\` may only stand at the end, after a dot, as in \`order.*\``;
  }
  return `\`${clip(pattern)}\` is not an event pattern; write \`order.*\` or \`order.created\``;
}

/** `order.*` matches `order.created` and `order.item.added`, never `order` itself. A lone `*` matches nothing. */
export function matchesEventPattern(pattern: string, type: string): boolean {
  if (!pattern.endsWith(".*")) return pattern === type && !pattern.includes("*");
  return type.length >= pattern.length && type.startsWith(pattern.slice(0, -1));
}
