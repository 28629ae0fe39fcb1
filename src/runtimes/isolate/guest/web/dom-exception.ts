/** `DOMException`: the web's named errors. Without the constants of the 1990s (`ABORT_ERR`), which code compares by name today. */
import { defineProperty, tag } from "./primordials.ts";

const legacyCodes: Record<string, number> = {
  IndexSizeError: 1,
  HierarchyRequestError: 3,
  WrongDocumentError: 4,
  InvalidCharacterError: 5,
  NoModificationAllowedError: 7,
  NotFoundError: 8,
  NotSupportedError: 9,
  InUseAttributeError: 10,
  InvalidStateError: 11,
  SyntaxError: 12,
  InvalidModificationError: 13,
  NamespaceError: 14,
  InvalidAccessError: 15,
  TypeMismatchError: 17,
  SecurityError: 18,
  NetworkError: 19,
  AbortError: 20,
  URLMismatchError: 21,
  QuotaExceededError: 22,
  TimeoutError: 23,
  InvalidNodeTypeError: 24,
  DataCloneError: 25,
};

export class DOMException extends Error {
  declare readonly code: number;

  constructor(message = "", nameOrOptions: string | { name?: string; cause?: unknown } = "Error") {
    const options = typeof nameOrOptions === "object" && nameOrOptions !== null ? nameOrOptions : {};
    super(`${message}`, "cause" in options ? { cause: options.cause } : undefined);
    const name = typeof nameOrOptions === "object" ? (options.name ?? "Error") : `${nameOrOptions}`;
    defineProperty(this, "name", { value: name, writable: true, configurable: true });
    defineProperty(this, "code", { value: legacyCodes[name] ?? 0, writable: true, configurable: true });
  }
}
tag(DOMException, "DOMException");
