/** `FormData`, and its two encodings. */

import { Blob, File, isBlob } from "./blob.ts";
import { latin1 } from "./latin1.ts";
import { tag } from "./primordials.ts";
import { decodeUtf8 } from "./text-encoding.ts";
import { parseForm } from "./url-search-params.ts";

type Value = string | File;
type Pair = [string, Value];

export let isFormData: (value: unknown) => value is FormData;

function toValue(value: unknown, filename: string | undefined): Value {
  if (!isBlob(value)) return `${value as string}`.toWellFormed();
  if (value instanceof File && filename === undefined) return value;
  return new File([value], filename ?? "blob", { type: value.type });
}

export class FormData {
  #pairs: Pair[] = [];

  static {
    isFormData = (value): value is FormData => typeof value === "object" && value !== null && #pairs in value;
  }

  append(name: string, value: string | Blob, filename?: string): void {
    this.#pairs.push([`${name}`.toWellFormed(), toValue(value, filename)]);
  }

  set(name: string, value: string | Blob, filename?: string): void {
    const fresh: Pair = [`${name}`.toWellFormed(), toValue(value, filename)];
    const first = this.#pairs.findIndex((pair) => pair[0] === fresh[0]);
    if (first < 0) this.#pairs.push(fresh);
    else {
      this.#pairs[first] = fresh;
      this.#pairs = this.#pairs.filter((pair, index) => index <= first || pair[0] !== fresh[0]);
    }
  }

  delete(name: string): void {
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== `${name}`);
  }

  get(name: string): Value | null {
    return this.#pairs.find((pair) => pair[0] === `${name}`)?.[1] ?? null;
  }

  getAll(name: string): Value[] {
    return this.#pairs.filter((pair) => pair[0] === `${name}`).map((pair) => pair[1]);
  }

  has(name: string): boolean {
    return this.#pairs.some((pair) => pair[0] === `${name}`);
  }

  forEach(callback: (value: Value, name: string, form: FormData) => void, thisArg?: unknown): void {
    for (const [name, value] of [...this.#pairs]) Reflect.apply(callback, thisArg, [value, name, this]);
  }

  *entries(): IterableIterator<Pair> {
    for (let i = 0; i < this.#pairs.length; i++) yield [...(this.#pairs[i] as Pair)];
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): IterableIterator<Value> {
    for (const [, value] of this.entries()) yield value;
  }

  declare [Symbol.iterator]: () => IterableIterator<Pair>;
}
tag(FormData, "FormData");
Object.defineProperty(FormData.prototype, Symbol.iterator, {
  value: FormData.prototype.entries,
  writable: true,
  configurable: true,
});

const quoteName = (text: string): string =>
  text.replace(/\r\n|\r|\n/g, "\r\n").replace(/[\r\n"]/g, (c) => (c === '"' ? "%22" : c === "\r" ? "%0D" : "%0A"));

/** `multipart/form-data`. The boundary must not occur in the content: the caller makes it random. */
export function encodeMultipart(form: FormData, boundary: string): Blob {
  const parts: (string | Blob)[] = [];
  form.forEach((value, name) => {
    let head = `--${boundary}\r\ncontent-disposition: form-data; name="${quoteName(name)}"`;
    if (typeof value === "string") parts.push(`${head}\r\n\r\n${value.replace(/\r\n|\r|\n/g, "\r\n")}\r\n`);
    else {
      head += `; filename="${quoteName(value.name)}"\r\ncontent-type: ${value.type || "application/octet-stream"}`;
      parts.push(`${head}\r\n\r\n`, value, "\r\n");
    }
  });
  parts.push(`--${boundary}--\r\n`);
  return new Blob(parts);
}

/** Reads a body of either encoding. A `TypeError` for anything else. */
export function decodeForm(bytes: Uint8Array<ArrayBuffer>, contentType: string): FormData {
  const form = new FormData();
  if (/^application\/x-www-form-urlencoded\b/i.test(contentType)) {
    for (const [name, value] of parseForm(decodeUtf8(bytes))) form.append(name, value);
    return form;
  }
  const boundary = /^multipart\/form-data\b.*?;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  if (boundary === null) throw new TypeError("The body is not a form");
  // Latin-1 keeps one character a byte, so that text search finds byte positions.
  const text = `\r\n${latin1(bytes)}`;
  const parts = text.split(`\r\n--${boundary[1] ?? boundary[2]}`);
  if (parts.length < 2 || !(parts.at(-1) as string).startsWith("--"))
    throw new TypeError("The multipart body has no end");
  for (const part of parts.slice(1, -1)) {
    const split = part.indexOf("\r\n\r\n");
    if (split < 0) throw new TypeError("A part of the multipart body has no headers");
    const head = utf8(part.slice(0, split));
    const name = /^content-disposition:.*?[;\s]name="([^"]*)"/im.exec(head)?.[1];
    if (name === undefined) throw new TypeError("A part of the multipart body has no name");
    const filename = /^content-disposition:.*?[;\s]filename="([^"]*)"/im.exec(head)?.[1];
    const content = part.slice(split + 4);
    if (filename === undefined) form.append(unquote(name), utf8(content));
    else {
      const type = /^content-type:[ \t]*([^\r\n]*)/im.exec(head)?.[1] ?? "text/plain";
      form.append(unquote(name), new File([fromLatin1(content)], unquote(filename), { type }));
    }
  }
  return form;
}

const unquote = (text: string): string =>
  text.replace(/%(22|0D|0A)/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));

function fromLatin1(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const utf8 = (text: string): string => decodeUtf8(fromLatin1(text));
