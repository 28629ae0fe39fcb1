/** `structuredClone`: copies data with its cycles, and refuses what is not data. */
import { DOMException } from "./dom-exception.ts";
import { asBytes, defineProperty, isArray, isArrayBuffer, objectKeys, typedArrayName, uncurry } from "./primordials.ts";

type Transferable = ArrayBuffer & { transfer?: () => ArrayBuffer };

const dateTime = uncurry<unknown, [], number>(Date.prototype.getTime);
const mapEach = uncurry<Map<unknown, unknown>, [(value: unknown, key: unknown) => void], void>(Map.prototype.forEach);
const setEach = uncurry<Set<unknown>, [(value: unknown) => void], void>(Set.prototype.forEach);
const tagOf = uncurry<unknown, [], string>(Object.prototype.toString);
const transferBuffer = uncurry<ArrayBuffer, [], ArrayBuffer>(
  (ArrayBuffer.prototype as Transferable).transfer ??
    (() => {
      throw new DOMException("Transfer is not supported here", "DataCloneError");
    }),
);
const arrayTypes: Record<string, new (buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView> = {
  __proto__: null,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
  Float16Array: (globalThis as { Float16Array?: unknown }).Float16Array,
} as never;
const errorTypes: Record<string, ErrorConstructor> = {
  __proto__: null,
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
} as never;

const isKind = (test: () => unknown): boolean => {
  try {
    test();
    return true;
  } catch {
    return false;
  }
};
const mapSize = uncurry<unknown, [], number>(
  Object.getOwnPropertyDescriptor(Map.prototype, "size")?.get as () => number,
);
const setSize = uncurry<unknown, [], number>(
  Object.getOwnPropertyDescriptor(Set.prototype, "size")?.get as () => number,
);
const regexpSource = uncurry<unknown, [], string>(
  Object.getOwnPropertyDescriptor(RegExp.prototype, "source")?.get as () => string,
);
const isError = (Error as unknown as { isError?: (value: unknown) => boolean }).isError;
const primitiveOf = {
  Boolean: uncurry<unknown, [], unknown>(Boolean.prototype.valueOf),
  Number: uncurry<unknown, [], unknown>(Number.prototype.valueOf),
  String: uncurry<unknown, [], unknown>(String.prototype.valueOf),
  BigInt: uncurry<unknown, [], unknown>(BigInt.prototype.valueOf),
} as const;

function refuse(value: unknown): never {
  const what = typeof value === "object" ? tagOf(value) : typeof value;
  throw new DOMException(`A value of kind ${what} cannot be cloned`, "DataCloneError");
}

/** Names the built-in kind of an object by what its internals are, not by what it claims to be. */
function kindOf(value: object): string {
  if (isArray(value)) return "Array";
  if (isArrayBuffer(value)) return "ArrayBuffer";
  if (ArrayBuffer.isView(value)) return typedArrayName(value) ?? "DataView";
  const tag = tagOf(value).slice(8, -1);
  if (isKind(() => dateTime(value))) return "Date";
  if (isKind(() => mapSize(value))) return "Map";
  if (isKind(() => setSize(value))) return "Set";
  if (value !== RegExp.prototype && isKind(() => regexpSource(value))) return "RegExp";
  if (isError ? isError(value) : tag === "Error" || value instanceof Error) return "Error";
  if (tag in primitiveOf && isKind(() => primitiveOf[tag as keyof typeof primitiveOf](value))) return tag;
  if (tag === "Object" || tag === "Arguments") return "Object";
  const prototype = Object.getPrototypeOf(value);
  // A class of the plugin's own that merely carries a tag clones as a plain object; ours and the engine's are refused.
  return platformPrototypes.has(prototype) || /^(Promise|Weak(Map|Set|Ref)|Generator|Async|Symbol)/.test(tag)
    ? ""
    : "Object";
}

/** Prototypes of the platform's own classes, whose objects hold state that a copy would lose. */
export const platformPrototypes = new WeakSet<object>();

export function structuredClone<T>(value: T, options: { transfer?: ArrayBuffer[] } = {}): T {
  const seen = new Map<object, unknown>();
  for (const buffer of options?.transfer ?? []) {
    if (!isArrayBuffer(buffer)) throw new DOMException("Only an ArrayBuffer can be transferred", "DataCloneError");
    if (seen.has(buffer)) throw new DOMException("A buffer is listed twice for transfer", "DataCloneError");
    seen.set(buffer, undefined);
  }
  for (const buffer of options?.transfer ?? []) seen.set(buffer, transferBuffer(buffer));
  return clone(value) as T;

  function clone(item: unknown): unknown {
    if (typeof item === "symbol" || typeof item === "function") refuse(item);
    if (typeof item !== "object" || item === null) return item;
    if (seen.has(item)) return seen.get(item);
    const kind = kindOf(item);
    switch (kind) {
      case "Array": {
        const source = item as unknown[];
        return properties(source, remember(source, new Array(source.length)));
      }
      case "Object":
        return properties(item, remember(item, {}));
      case "Date":
        return remember(item, new Date(dateTime(item)));
      case "RegExp": {
        const source = item as RegExp;
        return remember(item, new RegExp(source.source, source.flags));
      }
      case "Map": {
        const copy = remember(item, new Map());
        const entries: [unknown, unknown][] = [];
        mapEach(item as Map<unknown, unknown>, (entry, key) => entries.push([key, entry]));
        for (const [key, entry] of entries) copy.set(clone(key), clone(entry));
        return copy;
      }
      case "Set": {
        const copy = remember(item, new Set());
        const entries: unknown[] = [];
        setEach(item as Set<unknown>, (entry) => entries.push(entry));
        for (const entry of entries) copy.add(clone(entry));
        return copy;
      }
      case "Error":
        return cloneError(item as Error);
      case "ArrayBuffer":
        return remember(item, (asBytes(item) as Uint8Array).slice().buffer);
      case "Boolean":
      case "Number":
      case "String":
      case "BigInt":
        return remember(item, Object(primitiveOf[kind](item)));
      case "":
        return refuse(item);
      default:
        return cloneView(item as ArrayBufferView, kind);
    }
  }

  function remember<C>(original: object, copy: C): C {
    seen.set(original, copy);
    return copy;
  }

  function properties(source: object, target: object): object {
    for (const name of objectKeys(source)) {
      const copy = clone((source as Record<string, unknown>)[name]);
      defineProperty(target, name, { value: copy, writable: true, enumerable: true, configurable: true });
    }
    return target;
  }

  function cloneView(view: ArrayBufferView, kind: string): unknown {
    const bytes = asBytes(view) as Uint8Array<ArrayBuffer>;
    const { byteOffset, byteLength } = bytes;
    const buffer = clone(bytes.buffer) as ArrayBuffer;
    if (kind === "DataView") return remember(view, new DataView(buffer, byteOffset, byteLength));
    const Type = arrayTypes[kind];
    if (Type === undefined) refuse(view);
    const { BYTES_PER_ELEMENT } = Type as unknown as { BYTES_PER_ELEMENT: number };
    return remember(view, new Type(buffer, byteOffset, byteLength / BYTES_PER_ELEMENT));
  }

  function cloneError(error: Error): unknown {
    const Type = errorTypes[`${error.name}`] ?? Error;
    const real = remember(error, new Type(`${error.message ?? ""}`));
    const stack = typeof error.stack === "string" ? error.stack : undefined;
    if (stack !== undefined) defineProperty(real, "stack", { value: stack, writable: true, configurable: true });
    if ("cause" in error) {
      defineProperty(real, "cause", { value: clone(error.cause), writable: true, configurable: true });
    }
    return real;
  }
}
