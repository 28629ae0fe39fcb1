/** `TextEncoder` and `TextDecoder` for UTF-8, UTF-16LE and windows-1252 (`latin1`). */
import { latin1 } from "./latin1.ts";
import { asBytes, fromCharCode, subarray, tag } from "./primordials.ts";

const BytesArray = Uint8Array;
const UnitsArray = Uint16Array;

/** UTF-8 of `text`; lone surrogates become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  const { length } = text;
  let out = new BytesArray(length + (length >> 2) + 16);
  let o = 0;
  for (let i = 0; i < length; i++) {
    let code = text.charCodeAt(i);
    if (o + 4 > out.length) {
      const grown = new BytesArray((o + (length - i)) * 2 + 16);
      grown.set(out);
      out = grown;
    }
    if (code < 0x80) {
      out[o++] = code;
      continue;
    }
    if (code < 0x800) {
      out[o++] = 0xc0 | (code >> 6);
      out[o++] = 0x80 | (code & 63);
      continue;
    }
    if (code >= 0xd800 && code <= 0xdfff) {
      const next = code <= 0xdbff && i + 1 < length ? text.charCodeAt(i + 1) : 0;
      if (next >= 0xdc00 && next <= 0xdfff) {
        i++;
        code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00);
        out[o++] = 0xf0 | (code >> 18);
        out[o++] = 0x80 | ((code >> 12) & 63);
        out[o++] = 0x80 | ((code >> 6) & 63);
        out[o++] = 0x80 | (code & 63);
        continue;
      }
      code = 0xfffd;
    }
    out[o++] = 0xe0 | (code >> 12);
    out[o++] = 0x80 | ((code >> 6) & 63);
    out[o++] = 0x80 | (code & 63);
  }
  return out.slice(0, o);
}

export class TextEncoder {
  get encoding(): "utf-8" {
    return "utf-8";
  }

  encode(text = ""): Uint8Array<ArrayBuffer> {
    return encodeUtf8(`${text}`);
  }

  encodeInto(text: string, target: Uint8Array): { read: number; written: number } {
    const bytes = asBytes(target);
    if (bytes === undefined) throw new TypeError("A Uint8Array is needed");
    const source = `${text}`;
    let read = 0;
    let written = 0;
    for (const character of source) {
      const encoded = encodeUtf8(character);
      if (written + encoded.length > bytes.length) break;
      bytes.set(encoded, written);
      written += encoded.length;
      read += character.length;
    }
    return { read, written };
  }
}
tag(TextEncoder, "TextEncoder");

/** Bytes 0x80–0x9F of windows-1252. */
const windows1252 =
  "\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178";

function encodingOf(label: string): string {
  switch (label.trim().toLowerCase()) {
    case "utf-8":
    case "utf8":
    case "unicode-1-1-utf-8":
      return "utf-8";
    case "utf-16le":
    case "utf-16":
    case "ucs-2":
      return "utf-16le";
    case "latin1":
    case "iso-8859-1":
    case "ascii":
    case "us-ascii":
    case "windows-1252":
      return "windows-1252";
    default:
      throw new RangeError(`The encoding '${label.slice(0, 40)}' is not supported here`);
  }
}

/** The pieces of UTF-16 code units that one decode collects, turned into text chunk by chunk. */
class Units {
  #buffer = new UnitsArray(0x2000);
  #used = 0;
  #text = "";

  push(unit: number): void {
    if (this.#used === 0x2000) this.#flush();
    this.#buffer[this.#used++] = unit;
  }

  pushPoint(point: number): void {
    if (point < 0x10000) this.push(point);
    else {
      this.push(0xd800 + ((point - 0x10000) >> 10));
      this.push(0xdc00 + ((point - 0x10000) & 0x3ff));
    }
  }

  #flush(): void {
    const part = this.#used === 0x2000 ? this.#buffer : new UnitsArray(this.#buffer.buffer, 0, this.#used);
    this.#text += fromCharCode.apply(null, part as unknown as number[]);
    this.#used = 0;
  }

  pushText(text: string): void {
    if (this.#used > 0) this.#flush();
    this.#text += text;
  }

  text(): string {
    if (this.#used > 0) this.#flush();
    return this.#text;
  }
}

interface Utf8State {
  point: number;
  needed: number;
  seen: number;
  lower: number;
  upper: number;
}

const freshUtf8 = (): Utf8State => ({ point: 0, needed: 0, seen: 0, lower: 0x80, upper: 0xbf });

function invalid(): never {
  throw new TypeError("The bytes are not valid in this encoding");
}

/** Where the sixteens of ASCII bytes that begin at `start` end. */
function asciiGroups(bytes: Uint8Array, start: number): number {
  const b = bytes as unknown as number[];
  const last = bytes.length - 16;
  let at = start;
  for (; at <= last; at += 16) {
    // biome-ignore format: one line of sixteen
    const all = b[at]! | b[at + 1]! | b[at + 2]! | b[at + 3]! | b[at + 4]! | b[at + 5]! | b[at + 6]! | b[at + 7]! | b[at + 8]! | b[at + 9]! | b[at + 10]! | b[at + 11]! | b[at + 12]! | b[at + 13]! | b[at + 14]! | b[at + 15]!;
    if (all > 127) break;
  }
  return at;
}

/** The web's UTF-8 decoder: each maximal ill-formed part becomes one U+FFFD. Keeps `state` between pieces. */
function decodeUtf8Piece(bytes: Uint8Array, state: Utf8State, fatal: boolean, out: Units): void {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (state.needed === 0) {
      if (byte < 0x80) {
        const end = asciiGroups(bytes, i);
        if (end > i) {
          out.pushText(latin1(bytes, i, end));
          i = end - 1;
        } else out.push(byte);
      } else if (byte >= 0xc2 && byte <= 0xdf) {
        state.needed = 1;
        state.point = byte & 31;
      } else if (byte >= 0xe0 && byte <= 0xef) {
        if (byte === 0xe0) state.lower = 0xa0;
        if (byte === 0xed) state.upper = 0x9f;
        state.needed = 2;
        state.point = byte & 15;
      } else if (byte >= 0xf0 && byte <= 0xf4) {
        if (byte === 0xf0) state.lower = 0x90;
        if (byte === 0xf4) state.upper = 0x8f;
        state.needed = 3;
        state.point = byte & 7;
      } else if (fatal) invalid();
      else out.push(0xfffd);
      continue;
    }
    if (byte < state.lower || byte > state.upper) {
      if (fatal) invalid();
      state.needed = state.seen = 0;
      state.lower = 0x80;
      state.upper = 0xbf;
      out.push(0xfffd);
      i--;
      continue;
    }
    state.lower = 0x80;
    state.upper = 0xbf;
    state.point = (state.point << 6) | (byte & 63);
    if (++state.seen === state.needed) {
      out.pushPoint(state.point);
      state.needed = state.seen = 0;
    }
  }
}

/** Whole UTF-8 text, ill-formed parts replaced; a byte order mark is kept. */
export function decodeUtf8(bytes: Uint8Array, fatal = false): string {
  const out = new Units();
  const state = freshUtf8();
  decodeUtf8Piece(bytes, state, fatal, out);
  if (state.needed > 0) {
    if (fatal) invalid();
    out.push(0xfffd);
  }
  return out.text();
}

export class TextDecoder {
  #encoding: string;
  #fatal: boolean;
  #ignoreBom: boolean;
  #utf8 = freshUtf8();
  #odd: number | undefined;
  #high: number | undefined;
  #started = false;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    this.#encoding = encodingOf(`${label}`);
    this.#fatal = Boolean(options?.fatal);
    this.#ignoreBom = Boolean(options?.ignoreBOM);
  }

  get encoding(): string {
    return this.#encoding;
  }

  get fatal(): boolean {
    return this.#fatal;
  }

  get ignoreBOM(): boolean {
    return this.#ignoreBom;
  }

  decode(input?: ArrayBuffer | ArrayBufferView, options: { stream?: boolean } = {}): string {
    const bytes = input === undefined ? new BytesArray(0) : asBytes(input);
    if (bytes === undefined) throw new TypeError("An ArrayBuffer or a view on one is needed");
    const stream = Boolean(options?.stream);
    const out = new Units();
    try {
      if (this.#encoding === "utf-8") decodeUtf8Piece(bytes, this.#utf8, this.#fatal, out);
      else if (this.#encoding === "utf-16le") this.#utf16(bytes, out);
      else for (let i = 0; i < bytes.length; i++) out.push(latin1Point(bytes[i] as number));
      if (!stream) this.#end(out);
    } catch (error) {
      this.#reset();
      throw error;
    }
    let text = out.text();
    if (!this.#started && text !== "") {
      this.#started = true;
      if (!this.#ignoreBom && this.#encoding !== "windows-1252" && text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    if (!stream) this.#reset();
    return text;
  }

  #utf16(bytes: Uint8Array, out: Units): void {
    for (let i = 0; i < bytes.length; i++) {
      if (this.#odd === undefined) {
        this.#odd = bytes[i] as number;
        continue;
      }
      const unit = this.#odd | ((bytes[i] as number) << 8);
      this.#odd = undefined;
      if (this.#high !== undefined) {
        const high = this.#high;
        this.#high = undefined;
        if (unit >= 0xdc00 && unit <= 0xdfff) {
          out.push(high);
          out.push(unit);
          continue;
        }
        this.#replace(out);
      }
      if (unit >= 0xd800 && unit <= 0xdbff) this.#high = unit;
      else if (unit >= 0xdc00 && unit <= 0xdfff) this.#replace(out);
      else out.push(unit);
    }
  }

  #end(out: Units): void {
    if (this.#utf8.needed > 0 || this.#odd !== undefined || this.#high !== undefined) this.#replace(out);
  }

  #replace(out: Units): void {
    if (this.#fatal) invalid();
    out.push(0xfffd);
  }

  #reset(): void {
    this.#utf8 = freshUtf8();
    this.#odd = this.#high = undefined;
    this.#started = false;
  }
}
tag(TextDecoder, "TextDecoder");

function latin1Point(byte: number): number {
  return byte >= 0x80 && byte <= 0x9f ? windows1252.charCodeAt(byte - 0x80) : byte;
}

/** Drops a leading UTF-8 byte order mark. */
export function withoutBom(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? subarray(bytes, 3) : bytes;
}
