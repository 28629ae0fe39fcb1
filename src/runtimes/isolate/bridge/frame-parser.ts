/**
 * Turns the bytes of a socket into frames, however they are cut. A header is judged before its payload is kept, and a
 * payload that spans reads is copied once into a buffer of its own size.
 */
import { checkHeader, type Frame, type FrameType, headerBytes, maxPayloadBytes, ProtocolFault } from "./frame.ts";

export class FrameParser {
  readonly #from: "hub" | "runner";
  readonly #maxPayload: number;
  readonly #header = Buffer.allocUnsafe(headerBytes);
  #headerFilled = 0;
  #frame: Frame | undefined;
  #labelLength = 0;
  #payloadLength = 0;
  #payload: Buffer | undefined;
  #payloadFilled = 0;
  #broken: ProtocolFault | undefined;

  /** `from` is the side that sends what is parsed here. */
  constructor(from: "hub" | "runner", options: { maxPayload?: number } = {}) {
    this.#from = from;
    this.#maxPayload = Math.min(options.maxPayload ?? maxPayloadBytes, maxPayloadBytes);
  }

  /** Calls `onFrame` for each frame that `chunk` completes. Throws ProtocolFault, then and ever after. */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    if (this.#broken !== undefined) throw this.#broken;
    try {
      this.#push(chunk, onFrame);
    } catch (error) {
      if (error instanceof ProtocolFault) this.#broken = error;
      throw error;
    }
  }

  #push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#frame === undefined) {
        if (this.#headerFilled === 0 && chunk.length - at >= headerBytes) {
          this.#readHeader(chunk, at);
          at += headerBytes;
        } else {
          const taken = Math.min(headerBytes - this.#headerFilled, chunk.length - at);
          chunk.copy(this.#header, this.#headerFilled, at, at + taken);
          this.#headerFilled += taken;
          at += taken;
          if (this.#headerFilled < headerBytes) return;
          this.#headerFilled = 0;
          this.#readHeader(this.#header, 0);
        }
      }
      const length = this.#payloadLength;
      if (this.#payload === undefined) {
        if (chunk.length - at >= length) {
          const payload = chunk.subarray(at, at + length);
          at += length;
          this.#finish(payload, onFrame);
          continue;
        }
        this.#payload = Buffer.allocUnsafeSlow(length);
        this.#payloadFilled = 0;
      }
      const taken = Math.min(length - this.#payloadFilled, chunk.length - at);
      chunk.copy(this.#payload, this.#payloadFilled, at, at + taken);
      this.#payloadFilled += taken;
      at += taken;
      if (this.#payloadFilled === length) this.#finish(this.#payload, onFrame);
    }
  }

  #readHeader(bytes: Buffer, at: number): void {
    const payloadLength = bytes.readUInt32LE(at);
    const labelLength = bytes.readUInt16LE(at + 6);
    const frame: Frame = {
      type: bytes[at + 4] as FrameType,
      flags: bytes[at + 5]!,
      instance: bytes.readUInt32LE(at + 8),
      call: bytes.readUInt32LE(at + 12),
      aux: bytes.readUInt32LE(at + 16),
      label: empty,
      body: empty,
    };
    if (payloadLength > this.#maxPayload) throw new ProtocolFault(`payload of ${payloadLength} bytes`);
    checkHeader(this.#from, frame, payloadLength, labelLength);
    this.#frame = frame;
    this.#payloadLength = payloadLength;
    this.#labelLength = labelLength;
  }

  #finish(payload: Buffer, onFrame: (frame: Frame) => void): void {
    const frame = this.#frame!;
    this.#frame = undefined;
    this.#payload = undefined;
    if (payload.length > 0) {
      frame.label = payload.subarray(0, this.#labelLength);
      frame.body = payload.subarray(this.#labelLength);
    }
    onFrame(frame);
  }
}

const empty = Buffer.alloc(0);
