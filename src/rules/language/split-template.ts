/** Finds the `{{ }}` in a text. What is inside is CEL, so its quotes and braces are followed; `\{{` is two braces. */

export type TemplatePart =
  | { text: string }
  /** `offset`: where the expression begins in the text. */
  | { expression: string; offset: number };

export interface SplitTemplate {
  parts: TemplatePart[];
  /** Offset of a `{{` without its end. */
  unclosed?: number;
}

/** Linear. */
export function splitTemplate(text: string): SplitTemplate {
  const parts: TemplatePart[] = [];
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const next = text.indexOf("{{", at);
    if (next === -1) break;
    if (next > 0 && text[next - 1] === "\\" && next - 1 >= at) {
      plain += `${text.slice(at, next - 1)}{{`;
      at = next + 2;
      continue;
    }
    plain += text.slice(at, next);
    const end = expressionEnd(text, next + 2);
    if (end === undefined) return { parts, unclosed: next };
    if (plain !== "") parts.push({ text: plain });
    plain = "";
    parts.push({ expression: text.slice(next + 2, end), offset: next + 2 });
    at = end + 2;
  }
  plain += text.slice(at);
  if (plain !== "") parts.push({ text: plain });
  return { parts };
}

function expressionEnd(text: string, from: number): number | undefined {
  let open = 0;
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (character === '"' || character === "'") {
      const after = quotedEnd(text, at);
      if (after === undefined) return undefined;
      at = after - 1;
    } else if (character === "{") open += 1;
    else if (character === "}") {
      if (open > 0) open -= 1;
      else if (text[at + 1] === "}") return at;
    }
  }
  return undefined;
}

/** Behind the closing quote. */
function quotedEnd(text: string, start: number): number | undefined {
  const one = text[start]!;
  const quote = text.startsWith(one.repeat(3), start) ? one.repeat(3) : one;
  for (let at = start + quote.length; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text.startsWith(quote, at)) return at + quote.length;
  }
  return undefined;
}
