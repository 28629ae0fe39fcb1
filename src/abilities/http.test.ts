import assert from "node:assert/strict";
import { test } from "node:test";
import type { Egress } from "../egress/egress.ts";
import { defaultLimits } from "../policy/limits.ts";
import type { AbilityRequest } from "./ability.ts";
import { bodyBytesWithin, createHttpAbilities } from "./http.ts";

const call = {
  context: {
    organization: "acme",
    deadline: Date.now() + 60_000,
    installation: {
      id: "i",
      plugin: "acme.x",
      manifest: { permissions: [], optionalPermissions: [] },
      grants: ["network:outbound:api.vendor.com"],
    },
  },
  signal: new AbortController().signal,
} as unknown as AbilityRequest;

const ability = (size: number, asked: { max?: number | undefined } = {}, redacted = size) =>
  createHttpAbilities({
    secretsOf: (async () => ({
      fields: ["token"],
      connections: [],
      answerRedactor: () => ({ text: (text: string) => text, bytes: () => new Uint8Array(redacted) }),
    })) as never,
    tokens: {} as never,
    kept: {} as never,
    egress: {
      async fetch(request: Parameters<Egress["fetch"]>[0]) {
        asked.max = request.maxResponseBytes;
        const answer = {
          status: 200,
          statusText: "OK",
          url: "https://api.vendor.com/",
          redirected: false,
          // As much as a server can send, each byte of which JSON writes as two.
          headers: [["x", '"'.repeat(16_384)]] as [string, string][],
          body: new Uint8Array(size),
        };
        return request.onAnswer?.(answer as never) ?? answer;
      },
    } as unknown as Egress,
  })[0]!;

test("the largest body that egress lets through fits into one message to the guest, with its headers", async () => {
  const asked: { max?: number | undefined } = {};
  const largest = bodyBytesWithin(defaultLimits.messageBytes);
  const answer = await ability(largest, asked).run(call, [{ url: "https://api.vendor.com/" }]);
  assert.equal(asked.max, largest);
  assert.ok(Buffer.byteLength(JSON.stringify(answer)) <= defaultLimits.messageBytes);
});

test("a body that grew over it, by handles in place of secrets, is `egress_too_large`", async () => {
  const largest = bodyBytesWithin(defaultLimits.messageBytes);
  await assert.rejects(ability(largest, {}, largest + 1).run(call, [{ url: "https://api.vendor.com/" }]), {
    code: "egress_too_large",
  });
});
