/** Reads an answer's body with a cap that holds after decompression, so that a small bomb cannot fill the hub's memory. */
import type { Readable } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { BackplaneError } from "../errors/error.ts";

export interface ReadBodyOptions {
  host: string;
  /** Value of content-encoding; `""` is none. */
  encoding: string;
  maxBytes: number;
  signal: AbortSignal;
  /** Told of every chunk before it is kept; may refuse it. */
  hold?(bytes: number): void;
}

/** What the hub asks for, and all it decodes. */
export const ACCEPT_ENCODING = "gzip, deflate, br";

const decoders = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
} as const;

/** The caller listens to the body's errors. Errors: `egress_too_large`, `egress_failed` (unknown or broken encoding). Rejects with the signal's reason when aborted. */
export async function readBody(body: Readable, options: ReadBodyOptions): Promise<Uint8Array> {
  const { host, maxBytes, signal } = options;
  const encoding = options.encoding.trim().toLowerCase();
  if (encoding === "" || encoding === "identity") return collect(body, options);
  // Stacked encodings multiply; no honest server needs them.
  if (!isKnown(encoding)) {
    body.destroy();
    throw new BackplaneError("egress_failed", {
      host,
      reason: "the answer has a content-encoding that was not asked for",
    });
  }
  const decoder = decoders[encoding]();
  // Bytes on the wire are bounded as well: empty members decode to nothing and cost time.
  let wire = 0;
  const onData = (chunk: Buffer): void => {
    wire += chunk.length;
    if (wire > maxBytes + 65_536) decoder.destroy(tooLarge(host, maxBytes));
    else if (!decoder.write(chunk)) {
      body.pause();
      decoder.once("drain", () => body.resume());
    }
  };
  const stop = (): void => void decoder.destroy(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
  body.on("data", onData);
  body.once("end", () => decoder.end());
  let failure: unknown;
  body.once("error", (error) => {
    failure = error;
    decoder.destroy(error);
  });
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await collect(decoder, options);
  } catch (error) {
    // What is left is the decoder's own complaint.
    if (error !== failure && !(error instanceof BackplaneError) && !signal.aborted) throw broken(host, error);
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    body.off("data", onData);
    body.destroy();
    decoder.destroy();
  }
}

async function collect(stream: Readable, { host, maxBytes, hold }: ReadBodyOptions): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop destroys the stream and with it the connection.
    if (size > maxBytes) throw tooLarge(host, maxBytes);
    hold?.(chunk.length);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isKnown(encoding: string): encoding is keyof typeof decoders {
  return Object.hasOwn(decoders, encoding);
}

export function tooLarge(host: string, limit: number): BackplaneError {
  return new BackplaneError("egress_too_large", { host, limit });
}

function broken(host: string, cause: unknown): BackplaneError {
  return new BackplaneError("egress_failed", { host, reason: "the answer's compressed body is damaged" }, { cause });
}
