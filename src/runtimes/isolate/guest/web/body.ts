/** What `Request` and `Response` share: a body held whole as text or bytes, read once. */
import { decodeBase64 } from "./base64.ts";
import { Blob, blobBytes, isBlob } from "./blob.ts";
import { decodeForm, encodeMultipart, type FormData, isFormData } from "./form-data.ts";
import { asBytes, copyBytes } from "./primordials.ts";
import { randomHex } from "./random.ts";
import { decodeUtf8, encodeUtf8, withoutBom } from "./text-encoding.ts";
import { isParams } from "./url-search-params.ts";

/** Text stays text until bytes are wanted; `base64` is how bytes come from the hub. */
export type BodyContent = string | Uint8Array<ArrayBuffer> | { base64: string } | null;

/** The content and the content type that comes with it. */
export function extractBody(body: unknown): { content: BodyContent; type: string | null } {
  if (body === null || body === undefined) return { content: null, type: null };
  if (isParams(body)) {
    return { content: body.toString(), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  if (isBlob(body)) return { content: blobBytes(body), type: body.type || null };
  if (isFormData(body)) {
    const boundary = `----backplane-${randomHex(16)}`;
    return { content: blobBytes(encodeMultipart(body, boundary)), type: `multipart/form-data; boundary=${boundary}` };
  }
  if (asBytes(body) !== undefined) return { content: copyBytes(body), type: null };
  return { content: `${body as string}`.toWellFormed(), type: "text/plain;charset=UTF-8" };
}

function contentBytes(content: BodyContent): Uint8Array<ArrayBuffer> {
  if (content === null) return new Uint8Array(0);
  if (typeof content === "string") return encodeUtf8(content);
  if ("base64" in content) return decodeBase64(content.base64) ?? new Uint8Array(0);
  return content;
}

function contentText(content: BodyContent): string {
  if (typeof content === "string") return content.charCodeAt(0) === 0xfeff ? content.slice(1) : content;
  return decodeUtf8(withoutBom(contentBytes(content)));
}

/** Takes the content for sending; the body then counts as used. */
export let takeContent: (body: Body) => BodyContent;
/** The content for a copy; a `TypeError` when the body was read. */
export let shareContent: (body: Body) => BodyContent;

export class Body {
  #content: BodyContent;
  #contentType: () => string;
  #used = false;

  static {
    takeContent = (body) => body.#take();
    shareContent = (body) => {
      if (body.#used) throw new TypeError("The body was read already");
      return body.#content;
    };
  }

  constructor(content: BodyContent, contentType: () => string) {
    this.#content = content;
    this.#contentType = contentType;
  }

  #take(): BodyContent {
    if (this.#used) throw new TypeError("The body was read already");
    if (this.#content !== null) this.#used = true;
    return this.#content;
  }

  get bodyUsed(): boolean {
    return this.#used;
  }

  async text(): Promise<string> {
    return contentText(this.#take());
  }

  async json(): Promise<unknown> {
    return JSON.parse(contentText(this.#take()));
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return contentBytes(this.#take()).slice();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return contentBytes(this.#take()).slice().buffer;
  }

  async blob(): Promise<Blob> {
    return new Blob([contentBytes(this.#take())], { type: this.#contentType() });
  }

  async formData(): Promise<FormData> {
    return decodeForm(contentBytes(this.#take()), this.#contentType());
  }
}
