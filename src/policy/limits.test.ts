import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { RuntimeLimits } from "../runtimes/runtime.ts";
import { cutLimits, cutMessagesPerMinute, defaultCeiling, defaultLimits, type Limits } from "./limits.ts";

/** Fails to compile when the two shapes drift apart. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
const sameShape: Same<Limits, RuntimeLimits> = true;

describe("cutLimits", () => {
  test("the shape is the runtime's", () => assert.equal(sameShape, true));

  test("who asks nothing gets the defaults, which stay within the ceiling", () => {
    assert.deepEqual(cutLimits(undefined), defaultLimits);
    for (const name of Object.keys(defaultLimits) as (keyof Limits)[])
      assert.ok(defaultLimits[name] <= defaultCeiling[name], name);
  });

  test("who asks less or more gets it, up to the ceiling", () => {
    const limits = cutLimits(
      { memoryMb: 32, cpuMs: 10_000_000, timeoutMs: 120_000, concurrency: 1 },
      { timeoutMs: 60_000 },
    );
    assert.equal(limits.memoryMb, 32);
    assert.equal(limits.cpuMs, defaultCeiling.cpuMs);
    assert.equal(limits.timeoutMs, 60_000);
    assert.equal(limits.concurrency, 1);
  });

  test("a low ceiling cuts defaults as well", () => assert.equal(cutLimits(undefined, { memoryMb: 16 }).memoryMb, 16));

  test("messages a minute: a default, what is asked for, and never more than the ceiling", () => {
    assert.deepEqual(
      [undefined, {}, { messagesPerMinute: 5 }, { messagesPerMinute: 6_000 }, { messagesPerMinute: Number.NaN }].map(
        cutMessagesPerMinute,
      ),
      [60, 60, 5, 600, 60],
    );
  });

  test("is never above the ceiling, and always whole and positive", () => {
    const number = fc.option(fc.oneof(fc.double(), fc.integer()), { nil: undefined });
    fc.assert(
      fc.property(
        fc.record({ memoryMb: number, cpuMs: number, timeoutMs: number, concurrency: number }),
        (resources) => {
          const limits = cutLimits(resources as never);
          for (const name of Object.keys(limits) as (keyof Limits)[]) {
            assert.ok(
              limits[name] <= defaultCeiling[name] && limits[name] >= 1 && Number.isInteger(limits[name]),
              `${name}: ${limits[name]}`,
            );
          }
        },
      ),
    );
  });
});
