/** A test that cannot fail is a defect: each way in which a wall can be broken must make the proving ground complain. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Attack } from "./attack.ts";
import { isExpected, loadAttacks, shuffled } from "./attack.ts";
import { plantCanaries } from "./canaries.ts";
import { createFlawedRuntime, type Flaw, type FlawedRuntime, flaws } from "./flawed-runtime.ts";
import { openProvingGround } from "./proving-ground.ts";

const harmless: Attack = {
  id: "harmless",
  title: "does no harm",
  class: "none",
  invariant: "INV-01",
  expect: ["completes"],
  limits: { timeoutMs: 300 },
  code: "globalThis.__backplanePlugin = { functions: { async attack(params, ctx) { await ctx.data.getById('thing', '1'); return { breach: null }; } } };",
};

async function problemsOf(flaw: Flaw, attack: Attack = harmless): Promise<string> {
  let runtime: FlawedRuntime | undefined;
  const ground = await openProvingGround({
    createRuntime(callbacks) {
      runtime = createFlawedRuntime(flaw, callbacks);
      return runtime;
    },
  });
  try {
    const report = await ground.run(attack);
    return [...report.problems, ...(await ground.close())].join("\n");
  } finally {
    runtime?.cleanUp();
  }
}

const complaints: Record<Exclude<Flaw, "none" | "host-functions-in-ctx">, RegExp> = {
  "blocks-the-loop": /event loop was held/,
  "never-answers": /had no outcome/,
  rejects: /the port rejected/,
  "replaces-the-canary-runner": /canary organisation's runner was replaced/,
  "fails-the-canary": /the canary organisation: internal/,
  "fails-the-neighbour": /neighbour/,
  "loses-the-runner": /cost its runner/,
  "goes-on-burning": /still burns CPU/,
  "leaves-a-process": /processes are left over/,
  "books-on-another-call": /not its own/,
  "calls-after-the-end": /of a call that had ended/,
  "lets-ungranted-abilities-through": /is not granted/,
  "lets-logs-through": /bytes of log came through/,
  "lets-giant-results-through": /a result of \d+ bytes came through/,
  "shows-host-stacks": /names the host/,
  "shows-another-secret": /holds the secret of canaryConfig/,
  "answers-nonsense": /no JSON/,
  "hangs-on-release": /release of/,
};

describe("the proving ground", { concurrency: false }, () => {
  it("has no complaint about harmless code on a runtime that behaves", async () => {
    assert.equal(await problemsOf("none"), "");
  });

  for (const flaw of flaws) {
    if (flaw === "none" || flaw === "host-functions-in-ctx") continue;
    it(`complains when the runtime ${flaw.replaceAll("-", " ")}`, async () => {
      assert.match(await problemsOf(flaw), complaints[flaw]);
    });
  }

  it("complains when an attack ends in a way the wall must not give", async () => {
    assert.match(
      await problemsOf("none", { ...harmless, expect: ["cpu_exceeded"] }),
      /ended as completes, expected cpu_exceeded/,
    );
  });

  it("never takes an internal error of the hub for an expected failure", () => {
    assert.equal(isExpected({ ...harmless, expect: ["any_failure"] }, "internal"), false);
    assert.equal(isExpected({ ...harmless, expect: ["any_failure"] }, "cpu_exceeded"), true);
  });

  it("fails an attack that completes and reports a breach", async () => {
    const loud = {
      ...harmless,
      expect: ["any_failure"],
      code: "globalThis.__backplanePlugin = { functions: { attack() { return { breach: 'got out' }; } } };",
    };
    assert.match(await problemsOf("none", loud), /breach: got out/);
  });

  it("sees attacks of the corpus succeed where host functions stand in ctx", async () => {
    const attacks = new Map(loadAttacks().map((attack) => [attack.id, attack]));
    for (const id of ["realm-constructor-chain-ctx", "realm-error-constructors"]) {
      assert.match(
        await problemsOf("host-functions-in-ctx", { ...attacks.get(id)!, limits: { timeoutMs: 1000 } }),
        /breach: /,
        id,
      );
    }
  });

  it("finds a secret that was fetched from the process through a host function", async () => {
    const thief: Attack = {
      ...harmless,
      code: `globalThis.__backplanePlugin = { functions: { attack(params, ctx) {
        const env = ctx.data.getById.constructor("return process.env")();
        return { breach: null, loot: [...env.BACKPLANE_CANARY].reverse().join("") };
      } } };`,
    };
    assert.match(await problemsOf("host-functions-in-ctx", thief), /the result holds the secret of environment/);
  });
});

describe("canaries", () => {
  it("are found as text, hexadecimal, reversed, UTF-16 and base64 at any offset, and not elsewhere", () => {
    const canaries = plantCanaries();
    try {
      const secret = canaries.secret("global");
      const bytes = Buffer.from(secret);
      const disguised = [secret, bytes.toString("hex"), [...secret].reverse().join(""), Buffer.from(secret, "utf16le")];
      for (let pad = 0; pad < 6; pad += 1)
        disguised.push(Buffer.concat([Buffer.alloc(pad, "#"), bytes, Buffer.alloc(7)]).toString("base64"));
      for (const form of disguised) assert.deepEqual(canaries.search(form), ["global"]);
      assert.deepEqual(canaries.search("canary-global-0000"), []);
    } finally {
      canaries.remove();
    }
  });
});

describe("the order of attacks", () => {
  it("is the same for the same seed and another for another", () => {
    const items = Array.from({ length: 50 }, (_, i) => i);
    assert.deepEqual(shuffled(items, 7), shuffled(items, 7));
    assert.notDeepEqual(shuffled(items, 7), shuffled(items, 8));
    assert.deepEqual(
      [...shuffled(items, 7)].sort((a, b) => a - b),
      items,
    );
  });
});
