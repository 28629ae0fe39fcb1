/**
 * The parts of Node's test runner and assertions that tests of plugins use, for folders without `@types/node`. Remove the
 * entry from `types` in tsconfig.json where that package is installed.
 */

declare module "node:test" {
  interface TestContext {
    readonly name: string;
    readonly signal: AbortSignal;
    diagnostic(message: string): void;
    skip(message?: string): void;
    todo(message?: string): void;
    test(name: string, fn: TestFn): Promise<void>;
    test(name: string, options: TestOptions, fn: TestFn): Promise<void>;
    after(fn: () => unknown): void;
  }
  interface TestOptions {
    timeout?: number;
    skip?: boolean | string;
    todo?: boolean | string;
    only?: boolean;
    concurrency?: number | boolean;
  }
  type TestFn = (context: TestContext) => unknown;
  interface Test {
    (name: string, fn: TestFn): Promise<void>;
    (name: string, options: TestOptions, fn: TestFn): Promise<void>;
    skip(name: string, fn?: TestFn): Promise<void>;
    todo(name: string, fn?: TestFn): Promise<void>;
    only(name: string, fn: TestFn): Promise<void>;
  }
  export const test: Test;
  export const it: Test;
  export const describe: Test;
  export const suite: Test;
  export function before(fn: () => unknown): void;
  export function after(fn: () => unknown): void;
  export function beforeEach(fn: () => unknown): void;
  export function afterEach(fn: () => unknown): void;
  export default test;
}

declare module "node:assert/strict" {
  type Expected = RegExp | object | ((error: unknown) => boolean);
  interface Assert {
    (value: unknown, message?: string): asserts value;
    ok(value: unknown, message?: string): asserts value;
    equal<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
    notEqual(actual: unknown, expected: unknown, message?: string): void;
    deepEqual<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
    notDeepEqual(actual: unknown, expected: unknown, message?: string): void;
    partialDeepStrictEqual(actual: unknown, expected: unknown, message?: string): void;
    match(value: string, pattern: RegExp, message?: string): void;
    doesNotMatch(value: string, pattern: RegExp, message?: string): void;
    throws(fn: () => unknown, expected?: Expected, message?: string): void;
    rejects(promise: Promise<unknown> | (() => Promise<unknown>), expected?: Expected, message?: string): Promise<void>;
    doesNotReject(promise: Promise<unknown> | (() => Promise<unknown>), message?: string): Promise<void>;
    fail(message?: string): never;
  }
  const assert: Assert;
  export default assert;
}

/** For signing webhooks in tests. The sandbox has no Node modules: plugins use `ctx.crypto`. */
declare module "node:crypto" {
  interface Hash {
    update(data: string | Uint8Array): Hash;
    digest(encoding: "hex" | "base64" | "base64url"): string;
  }
  export function createHmac(algorithm: string, key: string | Uint8Array): Hash;
  export function createHash(algorithm: string): Hash;
  export function randomUUID(): string;
}
