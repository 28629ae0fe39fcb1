import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import type { AbilityCall } from "../runtimes/runtime.ts";
import { createAbilities } from "./abilities.ts";
import { defineAbility } from "./ability.ts";

const installation = { id: "i-1", plugin: "acme.x", status: "active", grants: [] } as unknown as Installation;

const call = (bytes: number): AbilityCall =>
  ({
    ability: "test.hold",
    args: Buffer.from(JSON.stringify(["x".repeat(bytes)])),
    signal: new AbortController().signal,
    instance: { installation: "i-1", plugin: "acme.x", limits: { messageBytes: 64_000_000 } },
    context: { installation, execution: "e", abilityCalls: {} },
  }) as unknown as AbilityCall;

const withCode = (code: string) => (error: unknown) => error instanceof BackplaneError && error.code === code;

test("arguments of unanswered calls are bounded as a whole, and room is free again with each answer", async () => {
  const gate = Promise.withResolvers<void>();
  const hold = defineAbility({ name: "test.hold", schema: z.tuple([z.string()]), run: () => gate.promise });
  const abilities = createAbilities({ abilities: [hold], refresh: async (known) => known });
  const first = abilities.answer(call(20_000_000));
  await assert.rejects(abilities.answer(call(20_000_000)), withCode("limit_exceeded"));
  const small = abilities.answer(call(1_000));
  gate.resolve();
  await Promise.all([first, small]);
  await abilities.answer(call(20_000_000));
});

test("a call whose installation is gone, another one or quarantined has no abilities", async () => {
  const hold = defineAbility({ name: "test.hold", schema: z.tuple([z.string()]), run: async () => null });
  for (const now of [undefined, { ...installation, id: "i-2" }, { ...installation, status: "quarantined" }]) {
    const abilities = createAbilities({ abilities: [hold], refresh: async () => now as Installation | undefined });
    await assert.rejects(abilities.answer(call(1)), withCode("ability_unknown"));
  }
});
