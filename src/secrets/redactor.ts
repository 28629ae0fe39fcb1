/**
 * Takes secret values out of texts and bytes: logs, errors, and answers of servers that echo what they were sent. Knows the
 * spellings a value takes on its way (base64 at every alignment, percent, JSON, HTML, hex). It cannot know every
 * transformation, and values under 4 bytes are left alone: they would shred ordinary text.
 */
import { encodeForm, encodeJsonString, encodeXml } from "./fill.ts";

export interface Redactor {
  text(text: string): string;
  /** Returns the same array when nothing was found. */
  bytes(bytes: Uint8Array): Uint8Array;
  /** Every string in a JSON-like value, keys included. */
  value<T>(value: T): T;
}

export interface RedactorOptions {
  /** What stands in place of a value. @default `[redacted:FIELD]` */
  replacement?: (field: string) => string;
}

const MIN_RAW = 4;
const MIN_DERIVED = 6;
/** Needles from which on one pass over the bytes is less work than a search for each. */
const MANY = 100;

export function createRedactor(
  secrets: readonly { field: string; value: string }[],
  options: RedactorOptions = {},
): Redactor {
  const replacement = options.replacement ?? ((field) => `[redacted:${field}]`);
  const needles = secrets
    .filter(({ value }) => Buffer.byteLength(value) >= MIN_RAW)
    .flatMap(({ field, value }) =>
      spellings(value).flatMap((text) => asSeen(text).map((needle) => ({ needle, put: replacement(field) }))),
    )
    // Longest first, so that a value that contains another goes as a whole.
    .sort((a, b) => b.needle.length - a.needle.length);

  const index = needles.length > MANY ? indexOf(needles) : undefined;

  const text = (input: string): string => {
    let output = input;
    for (const { needle, put } of needles) if (output.includes(needle)) output = output.replaceAll(needle, () => put);
    return output;
  };
  const bytes = (input: Uint8Array): Uint8Array => {
    const buffer = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    const found = index
      ? index(buffer)
      : needles.filter(({ needle }) => isLatin1(needle) && buffer.includes(needle, 0, "latin1"));
    if (found.length === 0) return input;
    // In Latin-1 a character is a byte, so the rest stays as it was whatever its encoding.
    let output = buffer.toString("latin1");
    for (const { needle, put } of found) output = output.replaceAll(needle, () => Buffer.from(put).toString("latin1"));
    return new Uint8Array(Buffer.from(output, "latin1"));
  };
  return { text, bytes, value: (input) => (needles.length === 0 ? input : (mapTexts(input, text) as typeof input)) };
}

interface Needle {
  needle: string;
  put: string;
}

/** Finds those of many needles that bytes hold, in one pass: by their first four bytes, and of these by the first two. */
function indexOf(needles: readonly Needle[]): (buffer: Buffer) => Needle[] {
  const short: Needle[] = [];
  const first = new Uint8Array(65_536);
  const byStart = new Map<number, { one: Needle; bytes: Buffer }[]>();
  for (const one of needles) {
    if (!isLatin1(one.needle)) continue;
    const bytes = Buffer.from(one.needle, "latin1");
    if (bytes.length < 4) {
      short.push(one);
      continue;
    }
    first[bytes.readUInt16LE(0)] = 1;
    const start = bytes.readUInt32LE(0);
    const there = byStart.get(start);
    if (there) there.push({ one, bytes });
    else byStart.set(start, [{ one, bytes }]);
  }
  return (buffer) => {
    const found = new Set(short.filter(({ needle }) => buffer.includes(needle, 0, "latin1")));
    for (let at = 0; at + 4 <= buffer.length; at += 1) {
      if (first[buffer[at]! | (buffer[at + 1]! << 8)] === 0) continue;
      for (const { one, bytes } of byStart.get(buffer.readUInt32LE(at)) ?? [])
        if (!found.has(one) && bytes.equals(buffer.subarray(at, at + bytes.length))) found.add(one);
    }
    // Longest first, as they are sorted.
    return needles.filter((one) => found.has(one));
  };
}

/** A copy of a JSON-like value with every string in it replaced, keys included. */
export function mapTexts(input: unknown, text: (input: string) => string): unknown {
  if (typeof input === "string") return text(input);
  if (Array.isArray(input)) return input.map((child) => mapTexts(child, text));
  if (typeof input !== "object" || input === null || input instanceof Date) return input;
  return Object.fromEntries(Object.entries(input).map(([name, child]) => [text(name), mapTexts(child, text)]));
}

/** A spelling as text, and as its UTF-8 bytes look when they are read as Latin-1, which is how headers arrive. */
function asSeen(text: string): string[] {
  return [...new Set([text, Buffer.from(text).toString("latin1")])];
}

function isLatin1(text: string): boolean {
  return /^[\0-\xff]*$/.test(text);
}

/** The forms in which a value is recognised. */
function spellings(value: string): string[] {
  const bytes = Buffer.from(value);
  const json = encodeJsonString(value);
  const ascii = json.replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const form = encodeForm(value);
  const component = encodeURIComponent(value.toWellFormed());
  const derived = [
    json,
    ascii,
    ascii.replaceAll("/", "\\/"),
    json.replaceAll("/", "\\/"),
    encodeJsonString(json),
    encodeXml(value),
    value
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;"),
    ...[
      form,
      component,
      form.replaceAll("%20", "+"),
      component.replaceAll("%20", "+"),
      encodeURI(value.toWellFormed()),
    ].flatMap((text) => [text, text.replace(/%[0-9A-F]{2}/g, (c) => c.toLowerCase())]),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    ...[0, 1, 2].flatMap((offset) => base64At(bytes, offset)),
  ];
  return [...new Set([value, ...derived.filter((text) => text.length >= MIN_DERIVED)])];
}

/** The characters of base64 that depend on nothing but the value when `offset` bytes (modulo 3) stand before it. */
function base64At(bytes: Buffer, offset: number): string[] {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
  const from = Math.ceil((offset * 8) / 6);
  const to = Math.floor(((offset + bytes.length) * 8) / 6);
  const stable = encoded.slice(from, to);
  return [stable, stable.replaceAll("+", "-").replaceAll("/", "_")];
}
