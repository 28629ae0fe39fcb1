/** Why a package is refused, as a value that can cross from a worker thread; `toError` makes the platform's error of it. */
import { BackplaneError, type FieldError } from "../errors/error.ts";

export type PackageFaultCode = "invalid_package" | "invalid_manifest" | "payload_too_large" | "bundle_failed";

export interface PackageFaultData {
  code: PackageFaultCode;
  details: Record<string, unknown>;
  errors?: FieldError[];
}

export class PackageFault extends Error {
  readonly data: PackageFaultData;

  constructor(data: PackageFaultData) {
    super(String(data.details["reason"] ?? data.code));
    this.name = "PackageFault";
    this.data = data;
  }
}

/** The usual fault: `reason` completes the sentence "The package cannot be read: …". */
export function refuse(reason: string): never {
  throw new PackageFault({ code: "invalid_package", details: { reason } });
}

export function toError(fault: PackageFaultData, cause?: unknown): BackplaneError {
  return new BackplaneError(fault.code, fault.details, { ...(fault.errors && { errors: fault.errors }), cause });
}

/** Text of the publisher made safe to quote in a reason: no control characters, no flood. */
export function quote(text: string): string {
  const shown = text.length > 120 ? `${text.slice(0, 117)}...` : text;
  return JSON.stringify(shown).replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
