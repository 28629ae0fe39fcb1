/** Percent-encoding with the sets of the URL standard. */
import { decodeUtf8, encodeUtf8 } from "./text-encoding.ts";

/** A set says which ASCII characters above 0x1F are encoded; controls and everything beyond ASCII always are. */
function set(characters: string, inherited?: Uint8Array): Uint8Array {
  const table = new Uint8Array(128);
  if (inherited) table.set(inherited);
  else {
    table.fill(1, 0, 32);
    table[127] = 1;
  }
  for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] = 1;
  return table;
}

const c0 = set("");
const query = set(' "#<>', c0);
const path = set(' "#<>?^`{}', c0);
const userinfo = set("/:;=@[\\]|", path);

export const percentSets = {
  c0,
  fragment: set(' "<>`', c0),
  query,
  specialQuery: set("'", query),
  path,
  userinfo,
  form: set("$&+,!'()~%", userinfo),
};

const hex = "0123456789ABCDEF";
const escaped = (byte: number): string => `%${hex[byte >> 4]}${hex[byte & 15]}`;

export function percentEncode(text: string, set: Uint8Array): string {
  let clean = 0;
  for (; clean < text.length; clean++) {
    const code = text.charCodeAt(clean);
    if (code > 127 || set[code] === 1) break;
  }
  if (clean === text.length) return text;
  const bytes = encodeUtf8(text.slice(clean));
  let output = text.slice(0, clean);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    output += byte > 127 || set[byte] === 1 ? escaped(byte) : String.fromCharCode(byte);
  }
  return output;
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** The bytes that the text stands for, read as UTF-8. */
export function percentDecodeText(text: string): string {
  const bytes = encodeUtf8(text);
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    const high = byte === 37 ? hexValue(bytes[i + 1] ?? 0) : -1;
    const low = high >= 0 ? hexValue(bytes[i + 2] ?? 0) : -1;
    if (low >= 0) {
      bytes[length++] = high * 16 + low;
      i += 2;
    } else bytes[length++] = byte;
  }
  return decodeUtf8(bytes.subarray(0, length));
}
