import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { type Frame, FrameFlag, FrameType, frameRules, headerBytes, maxPayloadBytes, ProtocolFault } from "./frame.ts";
import { FrameParser } from "./frame-parser.ts";
import { FrameWriter, type OutgoingFrame } from "./frame-writer.ts";
import { decodeUsage, encodeUsage, faultShape, parseLabel, readyShape } from "./labels.ts";

const fromHub = Object.values(FrameType).filter((type) => frameRules[type]!.from === "hub");

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));

/** Frames that a hub may send. */
const validFrame = fc.constantFrom(...fromHub).chain((type) => {
  const rule = frameRules[type]!;
  return fc.record(
    {
      type: fc.constant(type),
      flags: fc.nat(255).map((flags) => flags & rule.flags),
      instance: fc.integer({ min: rule.instance ? 1 : 0, max: 0xffffffff }),
      call: fc.integer({ min: rule.call ? 1 : 0, max: 0xffffffff }),
      aux: fc.integer({ min: 0, max: 0xffffffff }),
      label: bytes(Math.min(rule.maxLabel, 300)),
      body: bytes(Math.min(rule.maxBody, 40_000)),
    },
    { noNullPrototype: true },
  );
});

async function written(frames: readonly OutgoingFrame[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const out = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  const writer = new FrameWriter(out);
  for (const frame of frames) writer.send(frame);
  await new Promise((resolve) => setImmediate(resolve));
  return Buffer.concat(chunks);
}

function parsed(stream: Buffer, cuts: readonly number[], from: "hub" | "runner" = "hub"): Frame[] {
  const parser = new FrameParser(from);
  const frames: Frame[] = [];
  const ends = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  let start = 0;
  for (const end of [...ends, stream.length]) {
    parser.push(stream.subarray(start, end), (frame) =>
      frames.push({ ...frame, label: Buffer.from(frame.label), body: Buffer.from(frame.body) }),
    );
    start = end;
  }
  return frames;
}

test("whatever is written comes out the same, however the bytes are cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(validFrame, { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      async (frames, cuts) => {
        assert.deepEqual(parsed(await written(frames), cuts), frames);
      },
    ),
    { numRuns: 150 },
  );
});

test("text bodies and bodies in parts arrive as their UTF-8 bytes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "binary", maxLength: 9000 }),
      fc.array(bytes(20_000), { maxLength: 4 }),
      async (text, parts) => {
        const call = { type: FrameType.call, instance: 1, call: 1 };
        const frames = parsed(
          await written([
            { ...call, label: "é", body: text },
            { ...call, body: parts },
          ]),
          [7],
        );
        assert.equal(Buffer.from(frames[0]!.label).toString(), "é");
        assert.deepEqual(frames[0]!.body, Buffer.from(text));
        assert.deepEqual(frames[1]!.body, Buffer.concat(parts));
      },
    ),
    { numRuns: 60 },
  );
});

test("random bytes never become anything but valid frames or a fault, and after a fault nothing more is parsed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
      const parser = new FrameParser("runner");
      try {
        parser.push(Buffer.from(random), (frame) => assert.equal(frameRules[frame.type]?.from, "runner"));
      } catch (error) {
        assert.ok(error instanceof ProtocolFault);
        assert.throws(() => parser.push(Buffer.alloc(headerBytes), () => {}), ProtocolFault);
      }
    }),
    { numRuns: 500 },
  );
});

test("a header that lies is refused before its payload is kept", () => {
  const header = (change: (bytes: Buffer) => void): Buffer => {
    const head = Buffer.alloc(headerBytes);
    head[4] = FrameType.call;
    head.writeUInt32LE(1, 8);
    head.writeUInt32LE(1, 12);
    change(head);
    return head;
  };
  const refused = (change: (bytes: Buffer) => void, match: RegExp): void => {
    assert.throws(() => new FrameParser("hub").push(header(change), () => {}), match);
  };
  refused((head) => head.writeUInt32LE(maxPayloadBytes + 1, 0), /payload of/);
  refused((head) => head.writeUInt16LE(5, 6), /label of 5 in a payload of 0/);
  refused((head) => {
    head[4] = 99;
  }, /unknown type/);
  refused((head) => {
    head[4] = FrameType.result;
  }, /does not come from a hub/);
  refused((head) => {
    head[5] = FrameFlag.runStop;
  }, /flags/);
  refused((head) => head.writeUInt32LE(0, 8), /without an instance/);
  refused((head) => head.writeUInt32LE(0, 12), /without a call/);
  refused((head) => {
    head[4] = FrameType.cancel;
    head.writeUInt32LE(1, 0);
  }, /body of 1 bytes/);
  assert.doesNotThrow(() =>
    new FrameParser("hub").push(
      header(() => {}),
      () => {},
    ),
  );
});

test("labels are objects of the right shape or a fault; usage survives packing and is capped", () => {
  const ready = { version: 1, pid: 2, engine: "v8" };
  assert.deepEqual(parseLabel(Buffer.from(JSON.stringify(ready)), readyShape), ready);
  for (const bad of [
    "",
    "null",
    "[]",
    "{}",
    '{"version":"1","pid":2,"engine":"v8"}',
    '{"version":-1,"pid":2,"engine":"v8"}',
    '{"__proto__":{"version":1,"pid":2,"engine":"x"}}',
  ]) {
    assert.throws(() => parseLabel(Buffer.from(bad), readyShape), ProtocolFault, bad);
  }
  assert.throws(
    () => parseLabel(Buffer.from('{"kind":"isolate","code":"x","reason":"y","calls":{}}'), faultShape),
    ProtocolFault,
  );
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), (cpuMicros, kib) => {
      assert.deepEqual(decodeUsage(encodeUsage({ cpuMicros, peakBytes: kib * 1024 })), {
        cpuMicros,
        peakBytes: kib * 1024,
      });
    }),
  );
  assert.deepEqual(decodeUsage(encodeUsage({ cpuMicros: 1e20, peakBytes: -5 })), {
    cpuMicros: 0xffffffff,
    peakBytes: 0,
  });
  assert.throws(() => decodeUsage(Buffer.alloc(3)), ProtocolFault);
});
