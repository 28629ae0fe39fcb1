/**
 * The built-ins the pump works with, taken before any plugin code runs. A plugin may replace what it sees; it cannot
 * replace these.
 */

export const NativePromise = Promise;
export const NativeError = Error;
export const NativeTypeError = TypeError;
export const now = Date.now;
export const apply = Reflect.apply;
export const parse = JSON.parse;
export const stringify = JSON.stringify;
export const getPrototypeOf = Object.getPrototypeOf;
export const getOwnPropertyDescriptor = Object.getOwnPropertyDescriptor;
export const defineProperty = Object.defineProperty;
export const keys = Object.keys;
export const hasOwn = Object.hasOwn;
export const objectPrototype = Object.prototype;
export const functionPrototype = Function.prototype;
export const asyncIterator: typeof Symbol.asyncIterator = Symbol.asyncIterator;

const nativeReject = Promise.reject;
const nativeSlice = String.prototype.slice;
const nativeSplit = String.prototype.split;
const nativeDefineProperties = Object.create;

/** A table without prototype: no inherited key, no setter a plugin could have planted. */
export const emptyTable = <T>(): Record<string | number, T> => nativeDefineProperties(null);

export const cut = (text: string, length: number): string =>
  text.length > length ? (apply(nativeSlice, text, [0, length]) as string) : text;

export const split = (text: string, separator: string): string[] => apply(nativeSplit, text, [separator]) as string[];

/** A rejected promise for the entry's own list of unhandled rejections; see pump.ts. */
export const rejectedWithZero = (): Promise<never> => apply(nativeReject, NativePromise, [0]) as Promise<never>;
