/** Base64 and hex: `atob`, `btoa`, and the methods of `Uint8Array` that this engine lacks. */
import { DOMException } from "./dom-exception.ts";
import { latin1 } from "./latin1.ts";
import { asBytes, defineProperty } from "./primordials.ts";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const standardCodes = codesOf(alphabet);
const urlCodes = codesOf(`${alphabet.slice(0, 62)}-_`);
const standardValues = valuesOf(standardCodes);
const urlValues = valuesOf(urlCodes);
const BytesArray = Uint8Array;

function codesOf(letters: string): Uint8Array {
  const codes = new Uint8Array(64);
  for (let i = 0; i < 64; i++) codes[i] = letters.charCodeAt(i);
  return codes;
}

function valuesOf(codes: Uint8Array): Uint8Array {
  const values = new Uint8Array(128).fill(255);
  for (let i = 0; i < 64; i++) values[codes[i] as number] = i;
  return values;
}

export function encodeBase64(bytes: Uint8Array, options: { url?: boolean; omitPadding?: boolean } = {}): string {
  const codes = options.url ? urlCodes : standardCodes;
  const { length } = bytes;
  const out = new BytesArray((((length + 2) / 3) | 0) * 4);
  let o = 0;
  let i = 0;
  for (; i + 2 < length; i += 3) {
    const n = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number);
    out[o++] = codes[n >> 18] as number;
    out[o++] = codes[(n >> 12) & 63] as number;
    out[o++] = codes[(n >> 6) & 63] as number;
    out[o++] = codes[n & 63] as number;
  }
  const rest = length - i;
  if (rest > 0) {
    const n = ((bytes[i] as number) << 16) | (rest === 2 ? (bytes[i + 1] as number) << 8 : 0);
    out[o++] = codes[n >> 18] as number;
    out[o++] = codes[(n >> 12) & 63] as number;
    if (rest === 2) out[o++] = codes[(n >> 6) & 63] as number;
    if (!options.omitPadding) for (let pad = rest; pad < 3; pad++) out[o++] = 61;
  }
  return latin1(out, 0, o);
}

type LastChunk = "loose" | "strict" | "stop-before-partial";

/** Undefined when the text is not base64. White space is skipped, as the web does. */
export function decodeBase64(
  text: string,
  url = false,
  lastChunk: LastChunk = "loose",
): Uint8Array<ArrayBuffer> | undefined {
  const values = url ? urlValues : standardValues;
  const out = new BytesArray(((text.length * 3) >> 2) + 3);
  let o = 0;
  let bits = 0;
  let count = 0;
  let padding = 0;
  let i = 0;
  // Whole groups of four letters, while there is nothing else.
  for (; i + 4 <= text.length; i += 4) {
    const a = text.charCodeAt(i);
    const b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2);
    const d = text.charCodeAt(i + 3);
    if ((a | b | c | d) > 127) break;
    const high = ((values[a] as number) << 6) | (values[b] as number);
    const low = ((values[c] as number) << 6) | (values[d] as number);
    if (values[a] === 255 || values[b] === 255 || values[c] === 255 || values[d] === 255) break;
    out[o++] = high >> 4;
    out[o++] = (high << 4) | (low >> 8);
    out[o++] = low;
  }
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 32 || (code >= 9 && code <= 13 && code !== 11)) continue;
    if (code === 61) {
      padding++;
      continue;
    }
    const value = code < 128 ? (values[code] as number) : 255;
    if (value === 255 || padding > 0) return undefined;
    bits = (bits << 6) | value;
    if (++count === 4) {
      out[o++] = (bits >> 16) & 255;
      out[o++] = (bits >> 8) & 255;
      out[o++] = bits & 255;
      count = 0;
      bits = 0;
    }
  }
  const wanted = count === 0 ? 0 : 4 - count;
  if (count === 1 && lastChunk !== "stop-before-partial") return undefined;
  if (padding > 0 && padding !== wanted) return undefined;
  if (count > 0 && padding === 0) {
    if (lastChunk === "strict") return undefined;
    if (lastChunk === "stop-before-partial") count = 0;
  }
  if (count === 2) {
    if (lastChunk === "strict" && (bits & 15) !== 0) return undefined;
    out[o++] = (bits >> 4) & 255;
  } else if (count === 3) {
    if (lastChunk === "strict" && (bits & 3) !== 0) return undefined;
    out[o++] = (bits >> 10) & 255;
    out[o++] = (bits >> 2) & 255;
  }
  return out.slice(0, o);
}

export function atob(text: string): string {
  const bytes = decodeBase64(`${text}`);
  if (bytes === undefined) throw new DOMException("The text is not valid base64", "InvalidCharacterError");
  return latin1(bytes);
}

export function btoa(text: string): string {
  const source = `${text}`;
  const bytes = new BytesArray(source.length);
  for (let i = 0; i < source.length; i++) {
    const code = source.charCodeAt(i);
    if (code > 255) throw new DOMException("The text has a character beyond Latin-1", "InvalidCharacterError");
    bytes[i] = code;
  }
  return encodeBase64(bytes);
}

interface Base64Options {
  alphabet?: string;
  omitPadding?: boolean;
  lastChunkHandling?: LastChunk;
}

function isUrl(options: Base64Options | undefined): boolean {
  const name = options?.alphabet ?? "base64";
  if (name !== "base64" && name !== "base64url") throw new TypeError("`alphabet` must be base64 or base64url");
  return name === "base64url";
}

function receiver(value: unknown): Uint8Array {
  const bytes = asBytes(value);
  if (bytes === undefined) throw new TypeError("The receiver is not a Uint8Array");
  return bytes;
}

/** Adds what ECMAScript 2026 has and this engine lacks; never replaces. */
export function installUint8ArrayBase64(): void {
  const add = (target: object, name: string, value: unknown): void => {
    if (!(name in target)) defineProperty(target, name, { value, writable: true, configurable: true });
  };
  add(BytesArray, "fromBase64", function fromBase64(text: string, options?: Base64Options) {
    if (typeof text !== "string") throw new TypeError("A string is needed");
    const bytes = decodeBase64(text, isUrl(options), options?.lastChunkHandling);
    if (bytes === undefined) throw new SyntaxError("The text is not valid base64");
    return bytes;
  });
  add(BytesArray, "fromHex", function fromHex(text: string) {
    if (typeof text !== "string") throw new TypeError("A string is needed");
    if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text)) throw new SyntaxError("The text is not valid hex");
    const bytes = new BytesArray(text.length / 2);
    for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
    return bytes;
  });
  add(BytesArray.prototype, "toBase64", function toBase64(this: Uint8Array, options?: Base64Options) {
    return encodeBase64(receiver(this), { url: isUrl(options), omitPadding: Boolean(options?.omitPadding) });
  });
  add(BytesArray.prototype, "toHex", function toHex(this: Uint8Array) {
    const bytes = receiver(this);
    let text = "";
    for (let i = 0; i < bytes.length; i++) text += ((bytes[i] as number) + 256).toString(16).slice(1);
    return text;
  });
}
