import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { BackplaneError } from "../../errors/error.ts";
import { type ConditionOutcome, clipForTrace, evaluateConditions, type OperatorCall } from "./evaluate-conditions.ts";
import { compiled, testEvent } from "./rules.fixture.ts";

const scope = {
  event: testEvent("a.b", { yes: true, no: false, from: "c-1" }),
  now: new Date(0),
  rule: { id: "r", name: "R" },
  run: { id: "run-1", startedAt: new Date(0) },
};

async function evaluate(
  conditions: string,
  evaluateOperator: (call: OperatorCall) => boolean | Promise<boolean> = ({ params }) => params["is"] === true,
): Promise<ConditionOutcome> {
  const { conditions: tree } = compiled(
    `name: x\ntrigger: {event: a.b}\nconditions: ${conditions}\nactions: [{operator: free.Act}]`,
  );
  return await evaluateConditions(tree, { scope, evaluateOperator, clock: () => 0 });
}

const yes = "{operator: free.Form, params: {is: true}}";
const no = "{operator: free.Form, params: {is: false}}";

describe("evaluateConditions", () => {
  test("without conditions it is met", async () => {
    assert.equal((await evaluate("[]")).outcome, "met");
  });

  test("stops at the first that is not met, and tells what was not asked", async () => {
    const asked: string[] = [];
    const found = await evaluate(`[${yes}, {any: [${no}, {cel: event.no}]}, ${yes}]`, ({ path, params }) => {
      asked.push(path);
      return params["is"] === true;
    });
    assert.deepEqual(asked, ["conditions[0]", "conditions[1].any[0]"]);
    assert.deepEqual(found, {
      outcome: "not_met",
      stoppedAt: "conditions[1]",
      trace: {
        path: "conditions",
        kind: "all",
        value: false,
        items: [
          { path: "conditions[0]", kind: "operator", operator: "free.Form", params: { is: true }, ms: 0, value: true },
          {
            path: "conditions[1]",
            kind: "any",
            value: false,
            items: [
              {
                path: "conditions[1].any[0]",
                kind: "operator",
                operator: "free.Form",
                params: { is: false },
                ms: 0,
                value: false,
              },
              { path: "conditions[1].any[1]", kind: "cel", cel: "event.no", value: false },
            ],
          },
          { path: "conditions[2]", kind: "operator", skipped: "conditions[1] decided" },
        ],
      },
    });
  });

  test("any stops at the first that is met; not turns around", async () => {
    const found = await evaluate(`{any: [{not: {cel: event.no}}, ${yes}]}`);
    assert.equal(found.outcome, "met");
    assert.equal(found.trace.items![0]!.items![1]!.skipped, "conditions.any[0] decided");
  });

  test("params are rendered, with the run", async () => {
    let seen: unknown;
    await evaluate(
      "[{operator: free.Form, timeout: 3s, params: {c: '{{ event.from }}', r: '{{ run.id }}'}}]",
      (call) => {
        seen = call;
        return true;
      },
    );
    assert.deepEqual(seen, {
      operator: "free.Form",
      plugin: "acme.free",
      params: { c: "c-1", r: "run-1" },
      path: "conditions[0]",
      timeoutMs: 3000,
    });
  });

  const failing: [string, string, string, string][] = [
    ["a field that is not there", "{cel: event.nobody}", "missing", "conditions.not"],
    [
      "params that cannot be rendered",
      "{operator: free.Form, params: {a: '{{ event.nobody }}'}}",
      "missing",
      "conditions.not",
    ],
    ["a value that is no boolean", "{cel: event.from}", "type", "conditions.not"],
  ];
  for (const [what, condition, code, path] of failing)
    test(`${what} ends it, also within not and any: no failure makes a rule act`, async () => {
      const found = await evaluate(`{not: ${condition}}`);
      assert.equal(found.outcome, "failed");
      assert.equal(found.failure?.code, code);
      assert.equal(found.stoppedAt, path);
      assert.equal((await evaluate(`{any: [${condition}, ${yes}]}`)).outcome, "failed");
    });

  test("an operator's error has its code; another error tells nothing of itself", async () => {
    const thrown = await evaluate(`[${yes}, ${no}]`, () => {
      throw new BackplaneError("not_found", { thing: "contact" });
    });
    assert.deepEqual(
      [thrown.outcome, thrown.failure?.code, thrown.stoppedAt],
      ["failed", "not_found", "conditions[0]"],
    );
    assert.equal(thrown.trace.items![1]!.skipped, "conditions[0] failed");
    const secret = await evaluate(`[${yes}]`, () => Promise.reject(new Error("password")));
    assert.doesNotMatch(JSON.stringify(secret), /password/);
    const odd = await evaluate(`[${yes}]`, () => "yes" as never);
    assert.equal(odd.failure?.code, "type");
  });

  test("answers as the tree of booleans does, and asks no more than it must: 500 random trees", async () => {
    type Tree = boolean | { all: Tree[] } | { any: Tree[] } | { not: Tree };
    const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
      tree: fc.oneof(
        { depthSize: "small", maxDepth: 5 },
        fc.boolean(),
        fc.record({ all: fc.array(tie("tree"), { minLength: 1, maxLength: 3 }) }),
        fc.record({ any: fc.array(tie("tree"), { minLength: 1, maxLength: 3 }) }),
        fc.record({ not: tie("tree") }),
      ),
    }));
    const source = (node: Tree): unknown => {
      if (typeof node === "boolean") return { operator: "free.Form", params: { is: node } };
      if ("not" in node) return { not: source(node.not) };
      return "all" in node ? { all: node.all.map(source) } : { any: node.any.map(source) };
    };
    let asked = 0;
    const answer = (node: Tree): boolean => {
      if (typeof node === "boolean") {
        asked += 1;
        return node;
      }
      if ("not" in node) return !answer(node.not);
      return "all" in node ? node.all.every(answer) : node.any.some(answer);
    };
    await fc.assert(
      fc.asyncProperty(tree, async (node) => {
        asked = 0;
        const wanted = answer(node);
        let calls = 0;
        const found = await evaluate(JSON.stringify([source(node)]), ({ params }) => {
          calls += 1;
          return params["is"] === true;
        });
        assert.equal(found.outcome, wanted ? "met" : "not_met");
        assert.equal(calls, asked);
      }),
      { numRuns: 500, seed: 9 },
    );
  });
});

test("a trace holds no more than people read", () => {
  const clipped = clipForTrace({
    a: "x".repeat(5_000),
    b: Array(500).fill(1),
    c: { c: { c: { c: { c: { c: { c: 1 } } } } } },
  });
  assert.ok(JSON.stringify(clipped).length < 2_000);
});
