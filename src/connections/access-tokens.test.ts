import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessTokensOptions, createAccessTokens } from "./access-tokens.ts";

test("closing leaves no timer behind, which would hold the process until it is due", async () => {
  const unused = {} as AccessTokensOptions;
  const tokens = createAccessTokens({ ...unused });
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  await tokens.close({ drainMs: 60_000 });
  assert.equal(timers(), before);
});
