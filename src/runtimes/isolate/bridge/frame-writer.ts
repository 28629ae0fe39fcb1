/**
 * Writes frames to a socket: small ones of the same tick leave in one write, large bodies are handed over as they are
 * and never copied together.
 */
import type { Writable } from "node:stream";
import { type FrameType, headerBytes, maxLabelBytes, maxPayloadBytes, ProtocolFault } from "./frame.ts";

export interface OutgoingFrame {
  type: FrameType;
  flags?: number;
  instance?: number;
  call?: number;
  aux?: number;
  label?: string | Uint8Array;
  /** Text is written as UTF-8. Several parts are one body. */
  body?: string | Uint8Array | readonly Uint8Array[];
}

const slabBytes = 256 * 1024;
/** Up to here a copy is cheaper than one more element of a vectored write. */
const copyUpTo = 16 * 1024;

export class FrameWriter {
  readonly #out: Writable;
  #slab = Buffer.allocUnsafeSlow(slabBytes);
  #start = 0;
  #end = 0;
  #pieces: Uint8Array[] = [];
  #scheduled = false;
  #closed = false;

  constructor(out: Writable) {
    this.#out = out;
  }

  /** Bytes the socket has not taken yet. */
  get backlog(): number {
    return this.#out.writableLength;
  }

  close(): void {
    this.#closed = true;
    this.#pieces = [];
  }

  /** Never throws for a closed socket: what is sent to a lost peer is lost. */
  send(frame: OutgoingFrame): void {
    if (this.#closed) return;
    const { body, label } = frame;
    const parts: readonly Uint8Array[] | undefined =
      body === undefined || typeof body === "string" ? undefined : body instanceof Uint8Array ? [body] : body;
    let text = typeof body === "string" ? body : undefined;
    let whole: Uint8Array | undefined;
    if (text !== undefined && text.length * 3 > copyUpTo) {
      whole = Buffer.from(text);
      text = undefined;
    }
    const labelBytes = typeof label === "string" ? Buffer.byteLength(label) : (label?.length ?? 0);
    if (labelBytes > maxLabelBytes) throw new ProtocolFault(`label of ${labelBytes} bytes`);
    const small = parts !== undefined && total(parts) <= copyUpTo ? parts : undefined;
    this.#reserve(headerBytes + labelBytes + (text !== undefined ? text.length * 3 : small ? total(small) : 0));

    const slab = this.#slab;
    const at = this.#end;
    let end = at + headerBytes;
    if (typeof label === "string") end += slab.write(label, end, "utf8");
    else if (label !== undefined) {
      slab.set(label, end);
      end += label.length;
    }
    if (text !== undefined) end += slab.write(text, end, "utf8");
    else if (small !== undefined) {
      for (const part of small) {
        slab.set(part, end);
        end += part.length;
      }
    }
    const large = whole !== undefined ? [whole] : small === undefined ? parts : undefined;
    const payload = end - at - headerBytes + (large === undefined ? 0 : total(large));
    if (payload > maxPayloadBytes) throw new ProtocolFault(`payload of ${payload} bytes`);
    slab.writeUInt32LE(payload, at);
    slab[at + 4] = frame.type;
    slab[at + 5] = frame.flags ?? 0;
    slab.writeUInt16LE(labelBytes, at + 6);
    slab.writeUInt32LE(frame.instance ?? 0, at + 8);
    slab.writeUInt32LE(frame.call ?? 0, at + 12);
    slab.writeUInt32LE(frame.aux ?? 0, at + 16);
    this.#end = end;
    if (large !== undefined) {
      this.#cut();
      this.#pieces.push(...large);
    }
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#flush);
    }
  }

  /** Written bytes are never touched again: the socket may still hold them. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#slab.length) return;
    this.#cut();
    this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes));
    this.#start = 0;
    this.#end = 0;
  }

  #cut(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#cut();
    const pieces = this.#pieces;
    if (pieces.length === 0 || this.#closed) return;
    this.#pieces = [];
    if (pieces.length === 1) {
      this.#out.write(pieces[0]);
      return;
    }
    this.#out.cork();
    for (const piece of pieces) this.#out.write(piece);
    this.#out.uncork();
  };
}

function total(parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) sum += part.length;
  return sum;
}
