/** Opaque list cursors: base64url of a JSON array, so that callers cannot depend on their content. */
import { BackplaneError } from "../errors/error.ts";

export type CursorParts = (string | number)[];

export function encodeCursor(parts: CursorParts): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** Error: `invalid_cursor`. */
export function decodeCursor(cursor: string, length: number): CursorParts {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (
      Array.isArray(parts) &&
      parts.length === length &&
      parts.every((p) => typeof p === "string" || typeof p === "number")
    ) {
      return parts;
    }
  } catch {
    // falls through to the one error below
  }
  throw new BackplaneError("invalid_cursor");
}
