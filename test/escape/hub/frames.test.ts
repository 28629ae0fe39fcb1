/**
 * The hub against runners that were taken over: forged, lying, repeated, oversized and missing frames. INV-23. The parser is
 * attacked with bytes, the whole runtime with `fixtures/lying-runner.ts` in place of the real runner.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { asDigest, asExecutionId, asInstallationId, asOrganizationId, asPluginId } from "../../../src/base/brands.ts";
import { sleep, withTimeout } from "../../../src/base/deferred.ts";
import { newId } from "../../../src/base/ids.ts";
import { BackplaneError } from "../../../src/errors/error.ts";
import { type Frame, frameRules, maxPayloadBytes, ProtocolFault } from "../../../src/runtimes/isolate/bridge/frame.ts";
import { FrameParser } from "../../../src/runtimes/isolate/bridge/frame-parser.ts";
import { CodeCache } from "../../../src/runtimes/isolate/host/code-cache.ts";
import { IsolateRuntime } from "../../../src/runtimes/isolate/host/isolate-runtime.ts";
import type { AbilityCall, PluginInstance, RuntimeCall, RuntimeOutcome } from "../../../src/runtimes/runtime.ts";
import { LoopMonitor } from "../machine.ts";
import { assertCheap } from "./cost.ts";

describe("the frame parser", () => {
  it("gives frames that fit the rules, or a ProtocolFault, for any bytes in any pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (pieces) => {
        const frames: Frame[] = [];
        const parser = new FrameParser("runner");
        try {
          for (const piece of pieces) parser.push(Buffer.from(piece), (frame) => frames.push(frame));
        } catch (error) {
          assert.ok(error instanceof ProtocolFault);
          assert.throws(() => parser.push(Buffer.alloc(1), () => {}), ProtocolFault, "it went on after a fault");
        }
        for (const frame of frames) {
          const rule = frameRules[frame.type];
          assert.ok(rule !== undefined && rule.from === "runner");
          assert.ok(frame.label.length <= rule.maxLabel && frame.body.length <= rule.maxBody);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses a header that lies about its length before it keeps any memory", () => {
    for (const length of [maxPayloadBytes + 1, 0x7fffffff, 0xffffffff]) {
      const header = Buffer.alloc(20);
      header.writeUInt32LE(length, 0);
      header[4] = 17;
      header.writeUInt32LE(1, 8);
      header.writeUInt32LE(1, 12);
      assertCheap(
        "a lying length",
        () => assert.throws(() => new FrameParser("runner").push(header, () => {}), ProtocolFault),
        { memoryMb: 20 },
      );
    }
  });
});

type Expected = "honest" | "failure" | "either";

/** What a call ends as when its runner lies so. `honest`: the right answer and no other. */
const lies: Record<string, Expected> = {
  "unknown-calls": "either",
  "other-instances": "either",
  "answers-twice": "honest",
  "giant-result": "failure",
  "ungranted-ability": "either",
  "ability-flood": "failure",
  "ability-same-number": "either",
  "ability-after-the-end": "honest",
  "ability-of-no-call": "either",
  "ability-not-json": "either",
  "giant-ability": "either",
  "message-flood": "either",
  "message-ungranted": "either",
  "giant-message": "either",
  "chunks-of-no-stream": "either",
  "forged-code-cache": "either",
  "faults-of-others": "either",
  "fault-unknown-kind": "either",
  "fault-not-json": "failure",
  "fault-nested": "failure",
  "fault-hostile-numbers": "failure",
  "fault-flood": "either",
  "released-unasked": "either",
  "ready-again": "either",
  "ready-other-version": "failure",
  "stats-hostile": "either",
  "heartbeat-flood": "either",
  "usage-lies": "honest",
  "usage-short": "failure",
  "length-beyond-cap": "failure",
  "length-never-filled": "failure",
  "label-beyond-payload": "failure",
  "unknown-type": "failure",
  "type-of-the-hub": "failure",
  "unknown-flags": "failure",
  "instance-zero": "failure",
  noise: "failure",
  "stderr-flood": "either",
  "closes-the-socket": "failure",
  exits: "failure",
  silent: "failure",
  "stops-reading": "failure",
};

const granted = ["data.getById", "log.write"];

describe("a hub whose runners lie", () => {
  let runtime: IsolateRuntime;
  const wrong: string[] = [];
  const owners = new Map<string, { key: string; context: unknown; ended: boolean }>();
  let abilityCalls = 0;
  let messages = 0;

  before(() => {
    const runner = join(import.meta.dirname, "fixtures/lying-runner.ts");
    runtime = new IsolateRuntime({
      callbacks: {
        async onAbilityCall(call: AbilityCall) {
          abilityCalls += 1;
          see("ability call", call);
          if (!granted.includes(call.ability)) wrong.push(`ability '${call.ability}' is not granted`);
          if (Buffer.from(call.args).toString().includes("hang"))
            await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
          return Buffer.from("null");
        },
        onGuestMessage(message) {
          messages += 1;
          see("message", message);
          if (!granted.includes(message.ability)) wrong.push(`message '${message.ability}' is not granted`);
        },
        onFault(fault) {
          if (fault.reason.length > 8192) wrong.push(`a reason of ${fault.reason.length} characters`);
          if (fault.instance.plugin === "acme.honest")
            wrong.push(`the honest plugin was blamed: ${fault.kind} ${fault.code}`);
        },
      },
      codeCache: new CodeCache(),
      idleInstanceMs: 60_000,
      residentLimitBytes: 600 * 1024 * 1024,
      memoryBudgetBytes: 4 * 1024 ** 3,
      queueLength: 64,
      inline: false,
      wedgedMs: 800,
      strikes: {},
      log: () => {},
      fleet: {
        command: Promise.resolve({ program: process.execPath, args: ["--no-warnings", runner], walls: [] }),
        prelude: Promise.resolve({ text: "", hash: "0" }),
        hello: { version: 1, poolMemoryMb: 64, poolSize: 0, maxEntries: 3, stallMs: 1000 },
        maxRunners: 64,
        runnersPerGroup: 1,
        standby: true,
        idleRunnerMs: 3000,
      },
    });
  });
  after(() => runtime.close());

  const see = (
    kind: string,
    call: { instance: PluginInstance; execution: string; context: unknown; args: Uint8Array },
  ): void => {
    const owner = owners.get(call.execution);
    if (owner === undefined || owner.key !== call.instance.key || owner.context !== call.context)
      wrong.push(`${kind} booked on another call`);
    else if (owner.ended) wrong.push(`${kind} of a call that had ended`);
    if (call.args.byteLength > call.instance.limits.messageBytes)
      wrong.push(`${kind} of ${call.args.byteLength} bytes`);
  };

  const instanceOf = (code: string, group: string): PluginInstance => ({
    key: newId(),
    organization: asOrganizationId(group),
    installation: asInstallationId(newId()),
    plugin: asPluginId(code === "HONEST" ? "acme.honest" : "acme.liar"),
    version: "1.0.0",
    digest: asDigest(`sha256:${"0".repeat(64)}`),
    isolationGroup: group,
    limits: {
      memoryMb: 32,
      cpuMs: 500,
      timeoutMs: 3000,
      concurrency: 4,
      pendingAbilityCalls: 16,
      timers: 10,
      messageBytes: 65_536,
      logBytes: 65_536,
    },
    guest: {
      organization: group,
      plugin: { id: "acme.liar", version: "1.0.0" },
      config: {},
      abilities: granted,
      permissions: [],
    },
    loadBundle: async () => ({ code }),
  });

  const call = async (instance: PluginInstance, timeoutMs: number): Promise<RuntimeOutcome> => {
    const execution = asExecutionId(newId());
    const context = { execution };
    const owner = { key: instance.key, context, ended: false };
    owners.set(execution, owner);
    const deadline = Date.now() + timeoutMs;
    const request: RuntimeCall = {
      execution,
      handler: ["functions", "f"],
      args: Buffer.from("[]"),
      environment: { id: execution, deadline: new Date(deadline).toISOString() },
      deadline,
      idempotent: false,
      context,
    };
    const outcome = await withTimeout(
      runtime.call(instance, request),
      timeoutMs + 3000,
      () => new Error("the call had no outcome"),
    );
    owner.ended = true;
    return outcome;
  };

  it("answers right as long as they are honest", async () => {
    const outcome = await call(instanceOf("HONEST", "org-honest"), 10_000);
    assert.ok(outcome.ok);
    assert.equal(Buffer.from(outcome.result).toString(), '{"honest":true}');
  });

  for (const [lie, expected] of Object.entries(lies)) {
    it(`survives a runner that lies: ${lie.replaceAll("-", " ")}`, async () => {
      const honest = instanceOf("HONEST", "org-honest");
      assert.ok((await call(honest, 10_000)).ok, "the honest plugin does not answer beforehand");
      wrong.length = 0;
      abilityCalls = 0;
      messages = 0;
      const monitor = new LoopMonitor().start();
      const memory = process.memoryUsage().rss;
      const liar = instanceOf(lie, `org-${lie}`);
      const [outcome, neighbour] = await Promise.all([call(liar, 3000), call(honest, 8000)]);
      await sleep(120);
      monitor.stop();

      if (outcome.ok) assert.notEqual(expected, "failure", "the lie was believed");
      else assert.notEqual(expected, "honest", `${outcome.ok ? "" : outcome.error.code}: the right answer was lost`);
      if (outcome.ok) assert.equal(Buffer.from(outcome.result).toString(), '{"honest":true}');
      else {
        assert.ok(outcome.error instanceof BackplaneError);
        assert.notEqual(outcome.error.code, "internal");
      }
      assert.ok(Number.isFinite(outcome.usage.cpuMs) && outcome.usage.cpuMs >= 0 && outcome.usage.cpuMs < 1e9);
      assert.ok(neighbour.ok, "another organisation's call was lost");
      assert.deepEqual([...new Set(wrong)].slice(0, 5), []);
      assert.ok(abilityCalls <= 200, `${abilityCalls} ability calls came through`);
      assert.ok(messages <= 60_000, `${messages} messages came through`);
      assert.ok(monitor.worstCpuMs <= 250, `the event loop was held for ${Math.round(monitor.worstCpuMs)} ms`);
      const grown = (process.memoryUsage().rss - memory) / 1048576;
      assert.ok(grown <= 250, `the hub grew by ${Math.round(grown)} MB`);
      await withTimeout(runtime.release(liar.key), 4000, () => new Error("the liar cannot be released"));
    });
  }
});
