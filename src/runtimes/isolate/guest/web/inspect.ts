/** Values as one line of text for the log, bounded in depth, breadth and length; getters are not run. */
import { asBytes, isArray, uncurry } from "./primordials.ts";

const maxLength = 8_000;
const maxItems = 50;
const maxDepth = 4;
const errorText = uncurry<unknown, [], string>(Error.prototype.toString);

export function inspect(value: unknown): string {
  const seen: object[] = [];
  let left = maxLength;
  return show(value, 0);

  function take(text: string): string {
    if (text.length > left) {
      const cut = text.slice(0, Math.max(0, left));
      left = 0;
      return `${cut}…`;
    }
    left -= text.length;
    return text;
  }

  function show(item: unknown, depth: number): string {
    if (left <= 0) return "…";
    if (typeof item === "string")
      return take(depth === 0 ? item : JSON.stringify(item.length > left ? item.slice(0, left) : item));
    if (typeof item === "bigint") return take(`${item}n`);
    if (typeof item === "function") return take(`[function ${nameOf(item)}]`);
    if (typeof item === "symbol") return take(item.toString());
    if (typeof item !== "object" || item === null) return take(Object.is(item, -0) ? "-0" : `${item as string}`);
    if (seen.includes(item)) return take("[circular]");
    if (depth > maxDepth) return take(isArray(item) ? "[array]" : "[object]");
    seen.push(item);
    try {
      return showObject(item, depth);
    } catch {
      return take("[object that cannot be read]");
    } finally {
      seen.pop();
    }
  }

  function showObject(item: object, depth: number): string {
    if (item instanceof Error) return showError(item, depth);
    if (item instanceof Date) return take(Number.isNaN(item.getTime()) ? "Invalid Date" : item.toISOString());
    if (item instanceof RegExp) return take(`${item as unknown as string}`);
    if (item instanceof Promise) return take("Promise {…}");
    if (isArray(item)) return list("[", "]", item.length, (i) => show(item[i], depth + 1));
    if (item instanceof Map) {
      const entries = [...item].slice(0, maxItems);
      const pair = (i: number): string => `${show(entries[i]?.[0], depth + 1)} => ${show(entries[i]?.[1], depth + 1)}`;
      return list(`Map(${item.size}) {`, "}", item.size, pair);
    }
    if (item instanceof Set) {
      const entries = [...item].slice(0, maxItems);
      return list(`Set(${item.size}) {`, "}", item.size, (i) => show(entries[i], depth + 1));
    }
    const bytes = asBytes(item);
    if (bytes !== undefined) {
      return list(`${nameOf(item.constructor)}(${bytes.length}) [`, "]", bytes.length, (i) => take(`${bytes[i]}`));
    }
    const names = Object.keys(item);
    const prototype = Object.getPrototypeOf(item) as { constructor?: unknown } | null;
    const label = prototype === null || prototype === Object.prototype ? "" : `${nameOf(prototype.constructor)} `;
    if (names.length === 0 && label !== "" && typeof (item as { href?: unknown }).href === "string") {
      return take(`${label}${(item as { href: string }).href}`);
    }
    return list(`${label}{`, "}", names.length, (i) => {
      const name = names[i] as string;
      const own = Object.getOwnPropertyDescriptor(item, name);
      return `${take(name)}: ${own?.get ? take("[getter]") : show(own?.value, depth + 1)}`;
    });
  }

  function showError(error: Error, depth: number): string {
    const stack = typeof error.stack === "string" && error.stack !== "" ? error.stack : errorText(error);
    let text = take(stack);
    if (error.cause !== undefined) text += ` [cause: ${show(error.cause, depth + 1)}]`;
    return text;
  }

  function list(open: string, close: string, length: number, entry: (index: number) => string): string {
    let text = take(open);
    for (let i = 0; i < length && i < maxItems && left > 0; i++) text += (i > 0 ? ", " : " ") + entry(i);
    if (length > maxItems) text += take(`, … ${length - maxItems} more`);
    return `${text}${length > 0 ? " " : ""}${close}`;
  }
}

function nameOf(value: unknown): string {
  const name = typeof value === "function" ? Object.getOwnPropertyDescriptor(value, "name")?.value : undefined;
  return typeof name === "string" && name !== "" ? name.slice(0, 80) : "anonymous";
}

/** `console.log`'s rules: a first text with `%s %d %i %f %j %o %O %c %%` takes the next values, the rest is appended. */
export function formatLog(values: readonly unknown[]): string {
  let text = "";
  let next = 0;
  const first = values[0];
  if (typeof first === "string" && values.length > 1) {
    next = 1;
    text = first.replace(/%[sdifjoOc%]/g, (directive) => {
      if (directive === "%%") return "%";
      if (next >= values.length) return directive;
      const value = values[next++];
      switch (directive) {
        case "%s":
          return typeof value === "object" ? inspect(value) : String(value);
        case "%d":
        case "%f":
          return typeof value === "object" ? "NaN" : String(Number(value));
        case "%i":
          return typeof value === "object" ? "NaN" : String(Math.trunc(Number(value)));
        case "%j":
          return json(value);
        case "%c":
          return "";
        default:
          return inspect(value);
      }
    });
  }
  for (; next < values.length; next++) text += (text === "" && next === 0 ? "" : " ") + inspect(values[next]);
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "undefined";
  } catch {
    return "[circular]";
  }
}
