/** Paths into a manifest or a value: segments inside, dotted text (`contributes.functions[0].name`) for people. */

export type Segment = string | number;

/** `$` for the root. Odd keys are quoted: `dependencies["acme/base"]`. */
export function dottedPath(segments: readonly Segment[]): string {
  let text = "";
  for (const segment of segments) {
    if (typeof segment === "number") text += `[${segment}]`;
    else if (/^[A-Za-z_$][\w$-]{0,63}$/.test(segment)) text += text === "" ? segment : `.${segment}`;
    else text += `[${JSON.stringify(clip(segment))}]`;
  }
  return text === "" ? "$" : text;
}

/** Segments of a JSON Pointer; a numeric segment becomes a number where `value` holds an array there. */
export function pointerSegments(pointer: string, value: unknown): Segment[] {
  if (pointer === "") return [];
  let here: unknown = value;
  return pointer
    .slice(1)
    .split("/")
    .map((raw) => {
      const key = raw.replaceAll("~1", "/").replaceAll("~0", "~");
      const segment: Segment = Array.isArray(here) ? Number(key) : key;
      here = typeof here === "object" && here !== null ? (here as Record<string, unknown>)[key] : undefined;
      return segment;
    });
}

/** Text of an outsider, safe and short enough to appear in a sentence. */
export function clip(text: string, length = 64): string {
  const shown = text.length > length ? `${text.slice(0, length)}…` : text;
  return shown.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
}

/** One fault before it is placed in a file. `at: "key"` points at the name of the field, not at its value. */
export interface Fault {
  path: readonly Segment[];
  message: string;
  at?: "key";
  /** Something is not there, rather than wrong. */
  missing?: true;
}
