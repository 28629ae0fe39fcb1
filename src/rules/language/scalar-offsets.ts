/** Where each character of a YAML text's value stands in the source, through quotes, escapes, folding and indentation. */

export type ScalarStyle = "PLAIN" | "QUOTE_SINGLE" | "QUOTE_DOUBLE" | "BLOCK_LITERAL" | "BLOCK_FOLDED";

/**
 * One offset for each UTF-16 unit of `value`, and one for its end. What is not white space stands in both in the same
 * order, so it is exact; white space that folding made has the place where the line broke. Linear.
 */
export function scalarOffsets(
  source: string,
  range: readonly [number, number],
  style: string,
  value: string,
): number[] {
  const end = range[1];
  let at = range[0];
  if (style === "QUOTE_SINGLE" || style === "QUOTE_DOUBLE") at += 1;
  if (style === "BLOCK_LITERAL" || style === "BLOCK_FOLDED") {
    const lineEnd = source.indexOf("\n", at);
    at = lineEnd === -1 ? end : lineEnd + 1;
  }
  const offsets: number[] = [];
  while (offsets.length < value.length) {
    const wanted = value[offsets.length]!;
    const blank = isBlank(wanted);
    // White space of the source that the value does not have: indentation, folded lines.
    if (!blank) while (at < end && isBlank(source[at]!)) at += 1;
    if (at >= end) {
      offsets.push(at);
      continue;
    }
    if (style === "QUOTE_DOUBLE" && source[at] === "\\") {
      const length = escapeLength(source, at);
      if (length === 0) at += 1;
      else {
        offsets.push(at);
        // A `\U` beyond the first plane makes two units.
        if (source[at + 1] === "U" && isHighSurrogate(wanted)) offsets.push(at);
        at += length;
      }
      continue;
    }
    offsets.push(at);
    if (source[at] === wanted) at += style === "QUOTE_SINGLE" && wanted === "'" ? 2 : 1;
    else if (!blank) at += 1;
  }
  offsets.length = value.length;
  offsets.push(Math.min(at, end));
  return offsets;
}

function isBlank(character: string): boolean {
  return character === " " || character === "\n" || character === "\t" || character === "\r";
}

function isHighSurrogate(character: string): boolean {
  const code = character.charCodeAt(0);
  return code >= 0xd800 && code <= 0xdbff;
}

/** 0 for an escaped line break, which makes nothing. */
function escapeLength(source: string, at: number): number {
  const next = source[at + 1];
  if (next === "x") return 4;
  if (next === "u") return 6;
  if (next === "U") return 10;
  return next === "\n" || next === "\r" ? 0 : 2;
}
