/** `ctx.storage`: files of the installation. */
import { blobBytes, isBlob } from "../web/blob.ts";
import { fromWire, textOrWire, toWire } from "../web/wire-bytes.ts";
import type { Call } from "./index.ts";

export function createStorageFace(given: Record<string, true>, call: Call): Record<string, unknown> {
  return {
    get:
      given["storage.get"] &&
      (async (path: string) => {
        const answer = await call("storage.get", [path]);
        return answer === null ? null : fromWire(answer);
      }),
    put:
      given["storage.put"] &&
      (async (path: string, content: unknown, options?: { contentType?: string }) => {
        const wire = isBlob(content) ? toWire(blobBytes(content)) : textOrWire(content, "The content");
        const contentType = options?.contentType ?? (isBlob(content) && content.type !== "" ? content.type : undefined);
        await call("storage.put", contentType === undefined ? [path, wire] : [path, wire, { contentType }]);
      }),
    delete: given["storage.delete"] && ((path: string) => call("storage.delete", [path])),
    list: given["storage.list"] && ((options?: object) => call("storage.list", options === undefined ? [] : [options])),
  };
}
