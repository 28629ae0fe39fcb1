/**
 * Intrinsics captured while the prelude is evaluated, before any plugin code. Used wherever a later change of a prototype
 * could show plugin code something of ours, or could make us call into it by surprise.
 */

// biome-ignore lint/complexity/noBannedTypes: any function at all
type AnyFunction = Function;

const bindCall = Function.prototype.bind.bind(Function.prototype.call as AnyFunction as () => void);

/** `uncurry(Array.prototype.slice)(list, 1)` is `list.slice(1)` without a look-up that can be poisoned. */
export function uncurry<This, Args extends unknown[], Result>(
  method: AnyFunction,
): (self: This, ...args: Args) => Result {
  return bindCall(method as () => void) as unknown as (self: This, ...args: Args) => Result;
}

export const { freeze, defineProperty, getPrototypeOf, setPrototypeOf, isFrozen, keys: objectKeys, hasOwn } = Object;
export const { ownKeys, apply } = Reflect;
export const { isArray } = Array;
export const { stringify, parse: parseJson } = JSON;
export const { fromCharCode } = String;
export const { isView } = ArrayBuffer;
export const { min, max, floor } = Math;

/** `promise.then(done, fail)`. Waits by `await`, which asks neither a replaced `then` nor a replaced species. */
export async function promiseThen(
  promise: Promise<unknown>,
  done: ((value: unknown) => unknown) | undefined,
  fail?: (reason: unknown) => unknown,
): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (reason) {
    if (fail === undefined) throw reason;
    return fail(reason);
  }
  return done === undefined ? value : done(value);
}
export const resolved: Promise<void> = Promise.resolve();

/** Sets `enumerable: false` properties, as the web's globals have them; functions get the property's name. */
export function hidden(target: object, properties: Record<string, unknown>): void {
  const names = objectKeys(properties);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const value = properties[name];
    if (typeof value === "function") defineProperty(value, "name", { value: name, configurable: true });
    defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
  }
}

/** Gives a class its public name, which the bundler shortens, and its `Symbol.toStringTag`. */
export function tag(type: { prototype: object }, name: string): void {
  defineProperty(type, "name", { value: name, configurable: true });
  defineProperty(type.prototype, Symbol.toStringTag, { value: name, configurable: true });
}

type View = { buffer: ArrayBufferLike; byteOffset: number; byteLength: number };

// Accessors of the intrinsics: a subclass or an own property cannot lie about a buffer to these.
const getter = (prototype: object, name: string): AnyFunction =>
  Object.getOwnPropertyDescriptor(prototype, name)?.get as AnyFunction;
const typedArrayPrototype = getPrototypeOf(Uint8Array.prototype) as object;
const typedBuffer = uncurry<object, [], ArrayBufferLike>(getter(typedArrayPrototype, "buffer"));
const typedOffset = uncurry<object, [], number>(getter(typedArrayPrototype, "byteOffset"));
const typedLength = uncurry<object, [], number>(getter(typedArrayPrototype, "byteLength"));
const typedTag = uncurry<unknown, [], string | undefined>(getter(typedArrayPrototype, Symbol.toStringTag as never));
const viewBuffer = uncurry<object, [], ArrayBufferLike>(getter(DataView.prototype, "buffer"));
const viewOffset = uncurry<object, [], number>(getter(DataView.prototype, "byteOffset"));
const viewLength = uncurry<object, [], number>(getter(DataView.prototype, "byteLength"));
const bufferLength = uncurry<object, [], number>(getter(ArrayBuffer.prototype, "byteLength"));
const BytesArray = Uint8Array;

/** The name of a typed array's kind (`Uint8Array`), or undefined for anything else. */
export function typedArrayName(value: unknown): string | undefined {
  return typedTag(value);
}

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  try {
    bufferLength(value as object);
    return true;
  } catch {
    return false;
  }
}

/** A `Uint8Array` over the same memory, or undefined when `value` is neither a buffer nor a view. */
export function asBytes(value: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (isView(value)) {
    const view: View =
      typedTag(value) === undefined
        ? { buffer: viewBuffer(value), byteOffset: viewOffset(value), byteLength: viewLength(value) }
        : { buffer: typedBuffer(value), byteOffset: typedOffset(value), byteLength: typedLength(value) };
    return new BytesArray(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
  }
  return isArrayBuffer(value) ? new BytesArray(value) : undefined;
}

/** As {@link asBytes}, but a copy; a `TypeError` for anything else. */
export function copyBytes(value: unknown): Uint8Array<ArrayBuffer> {
  const bytes = asBytes(value);
  if (bytes === undefined) throw new TypeError("An ArrayBuffer or a view on one is needed");
  const copy = new BytesArray(bytes.length);
  setBytes(copy, bytes);
  return copy;
}
export const setBytes = uncurry<Uint8Array, [ArrayLike<number>, number?], void>(Uint8Array.prototype.set);
export const subarray = uncurry<Uint8Array, [number, number?], Uint8Array<ArrayBuffer>>(Uint8Array.prototype.subarray);
