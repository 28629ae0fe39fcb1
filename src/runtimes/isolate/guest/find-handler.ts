/** Finds a handler by its path in a plugin definition. Inherited names never count, but for methods of classes. */
import { connectorBuiltIns } from "./connector-batches.ts";
import { functionPrototype, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, objectPrototype } from "./primordials.ts";

export interface FoundHandler {
  run: (...args: unknown[]) => unknown;
  self: unknown;
}

/** Where instances of classes are welcome, and at which depth of the path their methods are. */
function methodDepth(root: string): number {
  if (root === "connector" || root === "channel") return 1;
  if (root === "dataAdapters" || root === "conditions" || root === "actions" || root === "variables") return 2;
  return Number.POSITIVE_INFINITY;
}

export function findHandler(definition: object, path: readonly string[]): FoundHandler | undefined {
  const builtIn = path.length === 2 && path[0] === "connector" ? connectorBuiltIns[path[1]!] : undefined;
  if (builtIn === undefined) return findIn(definition, path);
  const run = builtIn((name) => findIn(definition, ["connector", name]));
  return run === undefined ? undefined : { run, self: undefined };
}

function findIn(definition: object, path: readonly string[]): FoundHandler | undefined {
  let self: unknown;
  let value: unknown = definition;
  for (let depth = 0; depth < path.length; depth++) {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
    self = value;
    value = read(value, path[depth]!, depth >= methodDepth(path[0]!));
  }
  return typeof value === "function" && path.length > 0
    ? { run: value as FoundHandler["run"], self: path.length === 1 ? definition : self }
    : undefined;
}

function read(holder: object, name: string, methods: boolean): unknown {
  if (hasOwn(holder, name)) return (holder as Record<string, unknown>)[name];
  if (!methods || name === "constructor" || name === "__proto__") return undefined;
  let prototype: object | null = getPrototypeOf(holder);
  for (let depth = 0; prototype !== null && depth < 32; depth++) {
    if (prototype === objectPrototype || prototype === functionPrototype) return undefined;
    const found = getOwnPropertyDescriptor(prototype, name);
    if (found !== undefined) return typeof found.value === "function" ? found.value : undefined;
    prototype = getPrototypeOf(prototype);
  }
  return undefined;
}
