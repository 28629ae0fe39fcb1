/** Source maps and stacks that a plugin supplies, built to cost time or memory or to put words into a log. INV-26. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createStackMapper } from "../../../src/packages/map-stack.ts";
import { assertAside } from "./cost.ts";

const map = (more: object): string =>
  JSON.stringify({ version: 3, sources: ["src/index.ts"], names: [], mappings: "AAAA", ...more });

const hostileMaps: Record<string, string> = {
  "no JSON": "{",
  "nested without end": "[".repeat(3_000_000),
  "eight million segments": map({ mappings: "AAAA,".repeat(2_000_000) }),
  "eight million lines": map({ mappings: ";".repeat(8_000_000) }),
  "numbers beyond all bounds": map({ mappings: "gggggggggggggggggggggggggggB,zzzzzzzzzzzzzzzzzzB" }),
  "no base64": map({ mappings: "\u0000\uffff<script>" }),
  "sections that nest": map({
    sections: Array.from({ length: 10_000 }, () => ({
      offset: { line: 0, column: 0 },
      map: { version: 3, sections: [] },
    })),
  }),
  "host files as sources": map({
    sources: ["file:///etc/passwd", "../../../../../../etc/shadow"],
    mappings: "AAAA,CCAA",
  }),
  "terminal codes as sources": map({ sources: ["\u001b[2J\r\nset-cookie: a=b\u202e"], mappings: "AAAA" }),
  "sources that are no text": map({ sources: [{ toString: 1 }, null, 7, ["x"]], mappings: "AAAA,CCAA,CCAA,CCAA" }),
  "a source name of megabytes": map({ sources: ["x".repeat(4_000_000)], mappings: "AAAA" }),
  "names that pollute": '{"version":3,"sources":["a"],"names":[],"mappings":"AAAA","__proto__":{"polluted":1}}',
};

const script = "plugin://acme.evil@1.0.0/index.js";
const stack = `Error: x\n    at f (${script}:1:1)\n    at g (${script}:1:2)`;

describe("hostile source maps", () => {
  for (const [title, sourceMap] of Object.entries(hostileMaps)) {
    it(`gives a short, clean stack for ${title}`, async () => {
      await using mapper = createStackMapper();
      const mapped = await assertAside(
        title,
        () => mapper.mapStack({ stack, script, key: title, loadSourceMap: async () => sourceMap }),
        { wallMs: 6000 },
      );
      assert.ok(mapped.length <= 16_384);
      assert.match(mapped, /^Error: x/);
      assert.doesNotMatch(mapped, /[\u0000-\u0008\u000b-\u001f\u202a-\u202e]|etc\/(?:passwd|shadow):.*file:/);
      assert.equal(mapped.split("\n").length, 3);
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    });
  }

  const hostileStacks: Record<string, string> = {
    "a megabyte on one line": `Error: ${"x".repeat(1_000_000)}`,
    "a hundred thousand frames": `Error: x\n${`    at f (${script}:1:1)\n`.repeat(100_000)}`,
    "brackets for a slow pattern": `Error: x\n    at ${"(".repeat(8000)}${script}:1:1${")".repeat(8000)}`,
    "positions beyond all numbers": `Error: x\n    at f (${script}:${"9".repeat(400)}:-1)\n    at f (${script}:0:0)\n    at f (${script}:1e9:NaN)`,
    "spaces for a slow pattern": `Error: x\n    at ${" ".repeat(15_000)}:1`,
  };
  for (const [title, text] of Object.entries(hostileStacks)) {
    it(`caps a stack with ${title}`, async () => {
      await using mapper = createStackMapper();
      const mapped = await assertAside(title, () =>
        mapper.mapStack({ stack: text, script, key: title, loadSourceMap: async () => map({}) }),
      );
      assert.ok(mapped.length <= 16_384);
    });
  }

  it("serves another plugin's stack while a map is being refused", async () => {
    await using mapper = createStackMapper({ timeoutMs: 2000 });
    const slow = mapper.mapStack({
      stack,
      script,
      key: "slow",
      loadSourceMap: async () => hostileMaps["eight million segments"],
    });
    const good = await mapper.mapStack({ stack, script, key: "good", loadSourceMap: async () => map({}) });
    assert.match(good, /^Error: x/);
    await slow;
  });
});
