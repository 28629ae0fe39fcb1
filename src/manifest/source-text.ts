/**
 * Reads the text of a manifest into a plain value and remembers where each field stands. Comments are allowed (packing
 * writes plain JSON); trailing commas, duplicate names, prototype names, deep nesting and large files are faults.
 */
import { createScanner, type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import { clip, dottedPath, type Fault, type Segment } from "./path.ts";

export const maxManifestBytes = 256 * 1024;
export const maxManifestDepth = 32;
const forbiddenNames = new Set(["__proto__", "constructor", "prototype"]);

export interface SourceText {
  /** Undefined when the text is no JSON. */
  value: unknown;
  faults: Fault[];
  /** Place of the value at `path` (or of its name), or of the nearest thing around it; 1-based. */
  locate(path: readonly Segment[], at?: "key"): { line: number; column: number };
}

export function readSourceText(source: string): SourceText {
  const bytes = Buffer.byteLength(source);
  if (bytes > maxManifestBytes) {
    return unreadable(`The manifest has ${bytes} bytes; at most ${maxManifestBytes} are read.`);
  }
  const text = source.startsWith("\ufeff") ? source.slice(1) : source;
  const place = placer(text);
  const deep = tooDeepAt(text);
  if (deep !== undefined)
    return unreadable(`The manifest is nested deeper than ${maxManifestDepth} levels.`, () => place(deep));

  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, {
    disallowComments: false,
    allowTrailingComma: false,
    allowEmptyContent: false,
  });
  if (errors.length > 0 || tree === undefined) {
    const first = errors[0];
    const what = first === undefined ? "it is empty" : syntaxSentence(printParseErrorCode(first.error));
    return unreadable(`The manifest is not valid JSON: ${what}.`, () => place(first?.offset ?? 0));
  }
  const faults: Fault[] = [];
  const value = toValue(tree, [], faults);
  return {
    value,
    faults,
    locate(path, at) {
      const node = nearestNode(tree, path, at === "key");
      return place(node.offset);
    },
  };
}

function unreadable(
  message: string,
  locate: () => { line: number; column: number } = () => ({ line: 1, column: 1 }),
): SourceText {
  return { value: undefined, faults: [{ path: [], message }], locate };
}

function toValue(node: Node, path: Segment[], faults: Fault[]): unknown {
  if (node.type === "array") return (node.children ?? []).map((child, i) => toValue(child, [...path, i], faults));
  if (node.type === "object") {
    const object: Record<string, unknown> = {};
    for (const property of node.children ?? []) {
      const [keyNode, valueNode] = property.children ?? [];
      if (keyNode === undefined || valueNode === undefined) continue;
      const key = String(keyNode.value);
      const here = [...path, key];
      if (forbiddenNames.has(key))
        faults.push({ path: here, at: "key", message: `A field may not be called \`${key}\`; choose another name.` });
      else if (Object.hasOwn(object, key))
        faults.push({
          path: here,
          at: "key",
          message: `\`${clip(key)}\` appears twice in ${dottedPath(path)}; keep one.`,
        });
      else {
        textFault(key, here, faults);
        object[key] = toValue(valueNode, here, faults);
      }
    }
    return object;
  }
  if (node.type === "string") textFault(String(node.value), path, faults);
  if (node.type === "number" && !Number.isFinite(node.value))
    faults.push({ path, message: "The number is too large; write one that fits a double." });
  return node.value;
}

/** Neither a database nor a page can hold these. */
function textFault(text: string, path: Segment[], faults: Fault[]): void {
  if (text.includes("\u0000") || !text.isWellFormed())
    faults.push({ path, message: "The text has a NUL or half a character; remove it." });
}

/** The last of several equal names wins here, as the fault is about the second. */
function nearestNode(tree: Node, path: readonly Segment[], key: boolean): Node {
  let node = tree;
  for (const [depth, segment] of path.entries()) {
    let next: Node | undefined;
    let name: Node | undefined;
    if (typeof segment === "number") next = node.type === "array" ? node.children?.[segment] : undefined;
    else {
      const property =
        node.type === "object" ? node.children?.findLast((p) => p.children?.[0]?.value === segment) : undefined;
      name = property?.children?.[0];
      next = property?.children?.[1];
    }
    if (next === undefined) return node;
    if (key && depth === path.length - 1 && name !== undefined) return name;
    node = next;
  }
  return node;
}

function tooDeepAt(text: string): number | undefined {
  const scanner = createScanner(text, true);
  let depth = 0;
  while (scanner.getPosition() < text.length) {
    scanner.scan();
    const first = text[scanner.getTokenOffset()];
    if (first === "{" || first === "[") {
      depth += 1;
      if (depth > maxManifestDepth) return scanner.getTokenOffset();
    } else if (first === "}" || first === "]") depth -= 1;
  }
  return undefined;
}

function placer(text: string): (offset: number) => { line: number; column: number } {
  return (offset) => {
    const before = text.slice(0, offset);
    const start = before.lastIndexOf("\n") + 1;
    return { line: before.split("\n").length, column: offset - start + 1 };
  };
}

function syntaxSentence(code: string): string {
  const sentences: Record<string, string> = {
    InvalidSymbol: "there is a word that JSON does not know; put text in double quotes",
    InvalidNumberFormat: "a number is malformed",
    PropertyNameExpected: "a field name in double quotes is missing (or there is a comma too many before it)",
    ValueExpected: "a value is missing (or there is a comma too many before it)",
    ColonExpected: "a `:` is missing after a field name",
    CommaExpected: "a `,` is missing between two values",
    CloseBraceExpected: "a `}` is missing",
    CloseBracketExpected: "a `]` is missing",
    EndOfFileExpected: "there is something after the end of the value",
    UnexpectedEndOfString: "a text has no closing double quote",
    UnexpectedEndOfComment: "a comment has no end",
    InvalidEscapeCharacter: "a `\\` in a text is followed by a wrong character; write `\\\\` for one backslash",
    InvalidCharacter: "a text has a control character; write it as `\\n`, `\\t` or `\\u….`",
    InvalidUnicode: "a `\\u` is not followed by four hexadecimal digits",
  };
  return sentences[code] ?? "the syntax is wrong here";
}
