/** `Blob` and `File`: immutable bytes, held whole. */
import { asBytes, tag } from "./primordials.ts";
import { decodeUtf8, encodeUtf8, withoutBom } from "./text-encoding.ts";

/** The bytes themselves, not a copy; for our own reading. */
export let blobBytes: (blob: Blob) => Uint8Array<ArrayBuffer>;
export let isBlob: (value: unknown) => value is Blob;

const printable = /^[\x20-\x7e]*$/;
const typeOf = (type: unknown): string => {
  const text = `${(type ?? "") as string}`;
  return printable.test(text) ? text.toLowerCase() : "";
};

export class Blob {
  #bytes: Uint8Array<ArrayBuffer>;
  #type: string;

  static {
    blobBytes = (blob) => blob.#bytes;
    isBlob = (value): value is Blob => typeof value === "object" && value !== null && #bytes in value;
  }

  constructor(parts: Iterable<unknown> = [], options: { type?: string } = {}) {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for (const part of parts) {
      const bytes = isBlob(part) ? part.#bytes : (asBytes(part) ?? encodeUtf8(`${part as string}`));
      chunks.push(bytes);
      size += bytes.length;
    }
    this.#bytes = new Uint8Array(size);
    let at = 0;
    for (const bytes of chunks) {
      this.#bytes.set(bytes, at);
      at += bytes.length;
    }
    this.#type = typeOf(options?.type);
  }

  get size(): number {
    return this.#bytes.length;
  }

  get type(): string {
    return this.#type;
  }

  slice(start = 0, end = this.size, type = ""): Blob {
    return new Blob([this.#bytes.slice(start, end)], { type });
  }

  async text(): Promise<string> {
    return decodeUtf8(withoutBom(this.#bytes));
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#bytes.slice().buffer;
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#bytes.slice();
  }
}
tag(Blob, "Blob");

export class File extends Blob {
  #name: string;
  #lastModified: number;

  constructor(parts: Iterable<unknown>, name: string, options: { type?: string; lastModified?: number } = {}) {
    super(parts, options);
    this.#name = `${name}`;
    this.#lastModified = Number(options?.lastModified ?? Date.now());
  }

  get name(): string {
    return this.#name;
  }

  get lastModified(): number {
    return this.#lastModified;
  }
}
tag(File, "File");
