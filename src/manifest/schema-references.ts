/** Where the local references of a guarded schema lead, what they expand to, and whether they ever end. */
import { isObject } from "../base/json.ts";
import { clip, dottedPath, type Fault, type Segment } from "./path.ts";

export type SchemaNode = Record<string, unknown> | boolean;

/** One subschema as the guard found it. */
export interface SchemaEntry {
  children: SchemaNode[];
  /** Those of `children` that look at the same value. */
  here: SchemaNode[];
  /** Its own share of the cost. */
  own: number;
  path: readonly Segment[];
  ref?: string;
}

export type SchemaNodes = Map<SchemaNode, SchemaEntry>;

export interface ReferenceReport {
  faults: Fault[];
  /** Upper bound of subschemas visited for one value, references written out. */
  cost: number;
  /** Some reference leads back to a schema around it. */
  recursive: boolean;
}

/** Subschemas after every local reference is written out once. */
export const maxExpanded = 1000;

/** Follows the local references: where they lead, what they expand to, whether they ever end. */
export function resolveReferences(root: Record<string, unknown>, nodes: SchemaNodes): ReferenceReport {
  const faults: Fault[] = [];
  for (const entry of nodes.values()) {
    if (entry.ref === undefined) continue;
    const target = targetOf(root, entry.ref);
    if (typeof target === "boolean") continue;
    if (target === undefined || !nodes.has(target)) {
      const what = entry.ref.startsWith("#") ? "leads to no schema in this document" : "leads out of this document";
      faults.push({
        path: [...entry.path, "$ref"],
        message: `\`$ref\` \`${clip(entry.ref)}\` ${what}; write one like \`#/$defs/address\`.`,
      });
      continue;
    }
    entry.children.push(target);
    entry.here.push(target);
  }
  if (faults.length > 0) return { faults, cost: 0, recursive: false };

  const endless = findCycle(nodes, "here");
  if (endless !== undefined) {
    return {
      faults: [
        { path: endless, message: `The references from ${dottedPath(endless)} lead back to themselves and never end.` },
      ],
      cost: 0,
      recursive: true,
    };
  }
  const recursive = findCycle(nodes, "children") !== undefined;
  const cost = expandedCost(nodes, root);
  if (cost > maxExpanded) {
    faults.push({
      path: [],
      message: `The schema's references write out to more than ${maxExpanded} subschemas; use fewer.`,
    });
  }
  return { faults, cost, recursive };
}

function targetOf(root: Record<string, unknown>, ref: string): SchemaNode | undefined {
  if (ref === "#") return root;
  if (!ref.startsWith("#/")) return undefined;
  let here: unknown = root;
  for (const raw of ref.slice(2).split("/")) {
    let key: string;
    try {
      key = decodeURIComponent(raw).replaceAll("~1", "/").replaceAll("~0", "~");
    } catch {
      return undefined;
    }
    if (typeof here !== "object" || here === null || !Object.hasOwn(here, key)) return undefined;
    here = (here as Record<string, unknown>)[key];
  }
  return typeof here === "boolean" || isObject(here) ? here : undefined;
}

/** Path of a schema on a cycle along the given edges. Depth is bounded by `subschemas`. */
function findCycle(nodes: SchemaNodes, edges: "here" | "children"): readonly Segment[] | undefined {
  const state = new Map<SchemaNode, "open" | "done">();
  const visit = (node: SchemaNode): readonly Segment[] | undefined => {
    const entry = nodes.get(node)!;
    state.set(node, "open");
    for (const next of entry[edges]) {
      const seen = state.get(next);
      if (seen === "open") return entry.path;
      if (seen === "done") continue;
      const found = visit(next);
      if (found !== undefined) return found;
    }
    state.set(node, "done");
    return undefined;
  };
  for (const node of nodes.keys()) {
    const found = state.has(node) ? undefined : visit(node);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A reference back to an open schema counts once: recursion is paid for while validating, see compile-schema.ts. */
function expandedCost(nodes: SchemaNodes, root: Record<string, unknown>): number {
  const known = new Map<SchemaNode, number>();
  const visit = (node: SchemaNode): number => {
    const before = known.get(node);
    if (before !== undefined) return before;
    known.set(node, 1);
    const entry = nodes.get(node)!;
    let cost = entry.own;
    for (const child of entry.children) cost = Math.min(cost + visit(child), 1e9);
    known.set(node, cost);
    return cost;
  };
  return visit(root);
}
