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

  const text = (input: string): string => {
    let output = input;
    for (const { needle, put } of needles) if (output.includes(needle)) output = output.replaceAll(needle, () => put);
    return output;
  };
  const bytes = (input: Uint8Array): Uint8Array => {
    const buffer = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    const found = needles.filter(({ needle }) => isLatin1(needle) && buffer.includes(needle, 0, "latin1"));
    if (found.length === 0) return input;
    // In Latin-1 a character is a byte, so the rest stays as it was whatever its encoding.
    let output = buffer.toString("latin1");
    for (const { needle, put } of needles)
      output = output.replaceAll(needle, () => Buffer.from(put).toString("latin1"));
    return new Uint8Array(Buffer.from(output, "latin1"));
  };
  return { text, bytes, value: (input) => (needles.length === 0 ? input : (mapTexts(input, text) as typeof input)) };
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
