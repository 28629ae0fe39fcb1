/** What an expression asks of the event by equality, read from its syntax tree: the ground of the matcher's index. */
import type { ASTNode } from "@marcbachmann/cel-js";
import type { Equality } from "./expression.ts";

type Literal = Equality["values"][number];

/** Only what must be so for the whole to be true: parts of the `&&` on top. `complete` when that is all it says. */
export function findEqualities(tree: ASTNode): { equalities: Equality[]; complete: boolean } {
  const equalities: Equality[] = [];
  let complete = true;
  const open: ASTNode[] = [tree];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (node.op === "&&") open.push(node.args[1], node.args[0]);
    else {
      const found = equality(node);
      if (found === undefined) complete = false;
      else equalities.push(found);
    }
  }
  return { equalities, complete: complete && equalities.length > 0 };
}

function equality(node: ASTNode): Equality | undefined {
  if (node.op === "==") {
    const [a, b] = node.args;
    return pathIs(a, literal(b)) ?? pathIs(b, literal(a));
  }
  if (node.op === "in" && node.args[1].op === "list") {
    const path = eventPath(node.args[0]);
    const values = node.args[1].args.map(literal);
    if (path === undefined || values.length === 0 || values.includes(undefined)) return undefined;
    return { path, values: values as Literal[] };
  }
  return undefined;
}

function pathIs(node: ASTNode, value: Literal | undefined): Equality | undefined {
  const path = value === undefined ? undefined : eventPath(node);
  return path === undefined ? undefined : { path, values: [value as Literal] };
}

/** Undefined also for numbers that a double cannot hold: equality of those is not the map's. */
function literal(node: ASTNode): Literal | undefined {
  if (node.op === "-_") {
    const value = literal(node.args);
    return typeof value === "number" ? -value : undefined;
  }
  if (node.op !== "value") return undefined;
  const value = node.args;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null
    ? value
    : undefined;
}

/** `event.a.b` and `event.a["b"]`. */
function eventPath(node: ASTNode): string[] | undefined {
  const path: string[] = [];
  let here = node;
  while (here.op !== "id") {
    if (here.op === ".") path.unshift(here.args[1]);
    else if (here.op === "[]" && here.args[1].op === "value" && typeof here.args[1].args === "string")
      path.unshift(here.args[1].args);
    else return undefined;
    here = here.args[0];
  }
  return here.args === "event" && path.length > 0 ? path : undefined;
}
