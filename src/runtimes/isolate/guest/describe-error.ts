/** Turns whatever was thrown into a small plain record, inside the isolate, so that nothing of it runs outside. */
import { cut, keys, stringify } from "./primordials.ts";

export interface DescribedError {
  name: string;
  message: string;
  code?: string;
  /** Of an HttpError, so that the hub knows when to try again. */
  status?: number;
  retryAfter?: number;
  stack?: string;
}

const caps = { name: 100, message: 4_000, code: 100, stack: 8_000 } as const;

const absurd = 1_000_000;

/** JSON of the error: never throws, never more than about 50 KB. */
export function describeError(error: unknown): string {
  const described: DescribedError = { name: "Error", message: "" };
  try {
    if ((typeof error === "object" && error !== null) || typeof error === "function") {
      const thrown = error as Record<string, unknown>;
      described.name = text(thrown["name"], caps.name) ?? "Error";
      described.message = text(thrown["message"], caps.message) ?? shape(thrown);
      const code = text(thrown["code"], caps.code);
      if (code !== undefined) described.code = code;
      const status = count(thrown["status"]);
      if (status !== undefined) described.status = status;
      const retryAfter = count(thrown["retryAfter"]);
      if (retryAfter !== undefined) described.retryAfter = retryAfter;
      const stack = text(thrown["stack"], caps.stack);
      if (stack !== undefined) described.stack = stack;
    } else if (typeof error === "symbol") {
      described.message = "a symbol was thrown";
    } else {
      described.message = text(typeof error === "string" ? error : `${error as number}`, caps.message) ?? "";
    }
  } catch {
    // A getter or proxy trap of the thrown thing threw: what was read so far has to do.
  }
  try {
    return stringify(described);
  } catch {
    return '{"name":"Error","message":"the error could not be read"}';
  }
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value <= 1e9 ? value : undefined;
}

function text(value: unknown, cap: number): string | undefined {
  // Cutting a text that was built from many pieces first joins them all: not for one that is absurd.
  if (typeof value === "string")
    return value.length > absurd ? `a text of ${value.length} characters` : cut(value, cap);
  if (typeof value === "number" || typeof value === "boolean") return `${value}`;
  return undefined;
}

/** A plain object was thrown: name its keys, the author will recognise it. */
function shape(thrown: Record<string, unknown>): string {
  const names = keys(thrown);
  let list = "";
  for (let i = 0; i < names.length && i < 10; i++) list += (i > 0 ? ", " : "") + cut(names[i]!, 50);
  return names.length === 0 ? "something without a message was thrown" : `an object was thrown with keys ${list}`;
}
