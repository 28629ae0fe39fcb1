/**
 * Protocol version 1 between the hub and a runner: what a frame is. A frame is a fixed header, a short label (who or
 * what, readable without touching the body) and an opaque body that neither side parses on the way through.
 *
 * Header, 20 bytes, little endian: u32 payload length (label and body) · u8 type · u8 flags · u16 label length ·
 * u32 instance number · u32 call id · u32 aux (its meaning depends on the type, see below).
 */

export const protocolVersion = 1;
export const headerBytes = 20;

/** Frames above this are refused before a byte of them is kept. Messages of plugins have their own, lower limits. */
export const maxPayloadBytes = 96 * 1024 * 1024;
export const maxLabelBytes = 0xffff;

export const FrameType = {
  /** To the runner. Label: JSON HelloLabel. Body: the guest prelude. */
  hello: 1,
  /** To the runner. Label: JSON LoadLabel. Body: environment, code, code cache, one after another. `call` answers it. */
  load: 2,
  /** To the runner. Label: JSON CallLabel. Body: JSON array of arguments. `aux`: CPU budget in ms. */
  call: 3,
  /** To the runner. The guest's signal aborts; `aux`: grace in ms before the isolate is given up. */
  cancel: 4,
  /** To the runner. `aux`: number of the ability call. Body: JSON value, or JSON error with flag `failed`. */
  abilityAnswer: 5,
  /** To the runner. `aux`: stream chunks that may still be sent. */
  credit: 6,
  /** To the runner. With flag `runStop` the `stop` handler runs first. `aux`: its CPU budget in ms. */
  release: 7,
  /** To the runner: answer with a heartbeat at once. */
  ping: 8,

  /** From the runner: it can take work. Label: JSON ReadyLabel. */
  ready: 16,
  /** From the runner. A call or load ended. Label: usage, see usage.ts. Body: JSON result. */
  result: 17,
  /** From the runner. `aux`: CallFault. Label: usage. Body: JSON `{name, message, code, stack}`. */
  error: 18,
  /** From the runner. `aux`: number of the ability call. Label: ability name. Body: JSON array of arguments. */
  abilityCall: 19,
  /** From the runner; nobody answers. Label: ability name. Body: JSON array of arguments. */
  guestMessage: 20,
  /** From the runner: one chunk of a stream. */
  chunk: 21,
  /** From the runner: the instance is gone, as asked. */
  released: 22,
  /** From the runner while it works, and as the answer to a ping. `aux`: entries under way. */
  heartbeat: 23,
  /** From the runner. Label: JSON FaultLabel. The instance (0: the whole runner) cannot go on. */
  fault: 24,
  /** From the runner. Label: JSON StatsLabel. */
  stats: 25,
  /** From the runner: warm code cache of an instance, made by V8, never by a guest. */
  codeCache: 26,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FrameFlag = {
  none: 0,
  /** abilityAnswer: the body is an error. */
  failed: 1,
  /** call: the caller takes chunks. */
  stream: 2,
  /** release: run the `stop` handler before. */
  runStop: 4,
  /** load: make a code cache after the first calls. */
  wantCache: 8,
  /** call: it may be made again, so an entry of it may be cut short. */
  idempotent: 16,
  /** load: the instance may be entered on the runner's main thread once it has proved that its slices are short. */
  mayInline: 32,
} as const;

/** Why a call ended badly, as the runner knows it. */
export const CallFault = {
  threw: 1,
  handlerMissing: 2,
  resultInvalid: 3,
  limit: 4,
  loadFailed: 5,
  /** It was cancelled and did not end in its grace: something of it may still wait in the isolate. */
  abandoned: 6,
} as const;

export interface Frame {
  type: FrameType;
  flags: number;
  instance: number;
  call: number;
  aux: number;
  label: Uint8Array;
  body: Uint8Array;
}

interface FrameRule {
  from: "hub" | "runner";
  flags: number;
  /** The instance number must not be 0. */
  instance: boolean;
  /** The call id must not be 0. */
  call: boolean;
  maxLabel: number;
  maxBody: number;
}

const none = 0;
const rule = (from: FrameRule["from"], needs: string, maxLabel: number, maxBody: number, flags = 0): FrameRule => ({
  from,
  flags,
  instance: needs.includes("i"),
  call: needs.includes("c"),
  maxLabel,
  maxBody,
});

/** What each type may look like; anything else is a fault of the peer and ends the connection. */
export const frameRules: Readonly<Record<number, FrameRule | undefined>> = {
  [FrameType.hello]: rule("hub", "", maxLabelBytes, 8 * 1024 * 1024),
  [FrameType.load]: rule("hub", "ic", maxLabelBytes, maxPayloadBytes, FrameFlag.wantCache | FrameFlag.mayInline),
  [FrameType.call]: rule("hub", "ic", maxLabelBytes, maxPayloadBytes, FrameFlag.stream | FrameFlag.idempotent),
  [FrameType.cancel]: rule("hub", "ic", none, none),
  [FrameType.abilityAnswer]: rule("hub", "ic", none, maxPayloadBytes, FrameFlag.failed),
  [FrameType.credit]: rule("hub", "ic", none, none),
  [FrameType.release]: rule("hub", "i", none, none, FrameFlag.runStop),
  [FrameType.ping]: rule("hub", "", none, none),
  [FrameType.ready]: rule("runner", "", 4096, none),
  [FrameType.result]: rule("runner", "ic", 16, maxPayloadBytes),
  [FrameType.error]: rule("runner", "ic", 16, 256 * 1024),
  [FrameType.abilityCall]: rule("runner", "ic", 128, maxPayloadBytes),
  [FrameType.guestMessage]: rule("runner", "i", 128, maxPayloadBytes),
  [FrameType.chunk]: rule("runner", "ic", none, maxPayloadBytes),
  [FrameType.released]: rule("runner", "i", none, none),
  [FrameType.heartbeat]: rule("runner", "", none, none),
  [FrameType.fault]: rule("runner", "", 16 * 1024, none),
  [FrameType.stats]: rule("runner", "", 4096, none),
  [FrameType.codeCache]: rule("runner", "i", none, 64 * 1024 * 1024),
};

/** The peer broke the protocol. Whoever catches it ends the connection: nothing after a lying header can be trusted. */
export class ProtocolFault extends Error {
  constructor(reason: string) {
    super(`bridge protocol broken: ${reason}`);
    this.name = "ProtocolFault";
  }
}

/** Throws ProtocolFault unless a frame of this shape may come from `from`. */
export function checkHeader(
  from: "hub" | "runner",
  header: Pick<Frame, "type" | "flags" | "instance" | "call">,
  payloadLength: number,
  labelLength: number,
): void {
  const known = frameRules[header.type];
  if (known === undefined) throw new ProtocolFault(`unknown type ${header.type}`);
  if (known.from !== from) throw new ProtocolFault(`type ${header.type} does not come from a ${from}`);
  if ((header.flags & ~known.flags) !== 0) throw new ProtocolFault(`flags ${header.flags} on type ${header.type}`);
  if (labelLength > payloadLength) throw new ProtocolFault(`label of ${labelLength} in a payload of ${payloadLength}`);
  if (labelLength > known.maxLabel) throw new ProtocolFault(`label of ${labelLength} bytes on type ${header.type}`);
  if (payloadLength - labelLength > known.maxBody) {
    throw new ProtocolFault(`body of ${payloadLength - labelLength} bytes on type ${header.type}`);
  }
  if (known.instance && header.instance === 0) throw new ProtocolFault(`type ${header.type} without an instance`);
  if (known.call && header.call === 0) throw new ProtocolFault(`type ${header.type} without a call`);
}
