/**
 * Reads the YAML 1.2 of a rule into plain JSON and remembers where each value stands. What makes YAML dangerous or
 * surprising is refused: anchors, aliases, tags, merge keys, doubled names, several documents.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from "yaml";
import { clip, dottedPath, type Segment } from "../../manifest/path.ts";
import type { RuleLimits } from "./limits.ts";
import { scalarOffsets } from "./scalar-offsets.ts";
import type { RuleFault, RuleFaultCode } from "./types.ts";

export interface Position {
  line: number;
  column: number;
}

export interface YamlSource {
  /** Undefined when there are faults that leave nothing to read. */
  value: unknown;
  faults: RuleFault[];
  /** Of the value at `path`, or of the nearest there is above it; `key` gives the name in front of it. */
  locate(path: readonly Segment[], at?: "key"): Position;
  /** Of a character within the text at `path`. */
  locateIn(path: readonly Segment[], offset: number): Position;
}

interface Place {
  node: Node | undefined;
  key: Node | undefined;
  value: unknown;
  offsets?: number[];
}

/** Never throws. */
export function readYaml(source: string, limits: RuleLimits): YamlSource {
  const reader = new Reader(source, limits);
  reader.read();
  return reader;
}

class Reader implements YamlSource {
  value: unknown;
  readonly faults: RuleFault[] = [];
  readonly #source: string;
  readonly #limits: RuleLimits;
  readonly #lines = new LineCounter();
  readonly #places = new Map<string, Place>();
  #values = 0;

  constructor(source: string, limits: RuleLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  read(): void {
    const { sourceLength } = this.#limits;
    if (typeof this.#source !== "string") return void this.#fault("yaml", "A rule is a YAML text.", 0, []);
    if (this.#source.length > sourceLength)
      return void this.#fault("limit", `A rule may have at most ${sourceLength} characters.`, 0, []);
    if (this.#source.includes("\u0000") || !this.#source.isWellFormed())
      return void this.#fault("yaml", "The text has a NUL or half a character; remove it.", 0, []);
    if (tooMany(this.#source))
      return void this.#fault("limit", "A rule may have at most 5000 lines and values.", 0, []);
    const deep = tooDeepAt(this.#source, this.#limits.depth);
    if (deep !== undefined)
      return void this.#fault("limit", `A rule may be nested at most ${this.#limits.depth} levels deep.`, deep, []);
    const document = parse(this.#source, this.#lines);
    if (document === undefined) return void this.#fault("yaml", "The text is no YAML, or nested too deeply.", 0, []);
    for (const error of document.errors.slice(0, 10))
      this.#fault("yaml", yamlSentence(error.code, error.message), error.pos[0], []);
    if (this.faults.length > 0) return;
    const version = document.directives?.yaml;
    if (version?.explicit === true && version.version !== "1.2")
      return void this.#fault("yaml", "Only YAML 1.2 is read; remove `%YAML`.", 0, []);
    if (document.contents === null) return void this.#fault("yaml", "The rule is empty.", 0, []);
    const value = this.#convert(document.contents as Node, undefined, []);
    if (this.faults.length === 0) this.value = value;
  }

  locate(path: readonly Segment[], at?: "key"): Position {
    for (let length = path.length; length >= 0; length--) {
      const place = this.#places.get(keyOf(path.slice(0, length)));
      if (place === undefined) continue;
      const wanted = at === "key" && length === path.length ? (place.key ?? place.node) : (place.node ?? place.key);
      return this.#position(wanted?.range?.[0] ?? 0);
    }
    return { line: 1, column: 1 };
  }

  locateIn(path: readonly Segment[], offset: number): Position {
    const place = this.#places.get(keyOf(path));
    if (place === undefined || !isScalar(place.node) || typeof place.value !== "string" || place.node.range == null)
      return this.locate(path);
    const scalar: Scalar = place.node;
    place.offsets ??= scalarOffsets(
      this.#source,
      [scalar.range![0], scalar.range![1]],
      String(scalar.type ?? "PLAIN"),
      place.value,
    );
    return this.#position(place.offsets[Math.max(0, Math.min(offset, place.value.length))]!);
  }

  #position(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  #fault(code: RuleFaultCode, message: string, offset: number, path: readonly Segment[]): void {
    if (this.faults.length < this.#limits.faults)
      this.faults.push({ code, message, ...this.#position(offset), path: dottedPath(path) });
  }

  #convert(node: Node | null | undefined, key: Node | undefined, path: readonly Segment[]): unknown {
    const start = node?.range?.[0] ?? key?.range?.[0] ?? 0;
    this.#values += 1;
    if (this.#values > this.#limits.values) {
      if (this.#values === this.#limits.values + 1)
        this.#fault("limit", `A rule may have at most ${this.#limits.values} values.`, start, path);
      return null;
    }
    const place: Place = { node: node ?? undefined, key, value: null };
    this.#places.set(keyOf(path), place);
    if (node == null) return null;
    if (isAlias(node)) {
      this.#fault("yaml", "Aliases (`*name`) are not read; write the value again.", start, path);
      return null;
    }
    const { anchor, tag } = node as { anchor?: string; tag?: string };
    if (anchor !== undefined)
      this.#fault("yaml", `Anchors are not read; remove \`&${clip(anchor, 24)}\`.`, start, path);
    if (tag !== undefined) this.#fault("yaml", `Tags are not read; remove \`${clip(tag, 40)}\`.`, start, path);
    if (path.length > this.#limits.depth) {
      this.#fault("limit", `A rule may be nested at most ${this.#limits.depth} levels deep.`, start, path);
      return null;
    }
    if (isMap(node)) return this.#map(node, path);
    if (isSeq(node)) return node.items.map((item, i) => this.#convert(item as Node, undefined, [...path, i]));
    place.value = this.#scalar(node as Scalar, start, path);
    return place.value;
  }

  #map(node: { items: { key: unknown; value: unknown }[] }, path: readonly Segment[]): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (const { key, value } of node.items) {
      const at = (key as Node | null)?.range?.[0] ?? 0;
      if (!isScalar(key) || (typeof key.value !== "string" && typeof key.value !== "number")) {
        this.#fault("yaml", "Names of fields are plain texts.", at, path);
        continue;
      }
      if (key.anchor !== undefined || key.tag !== undefined)
        this.#fault("yaml", "Names of fields have no anchors or tags.", at, path);
      const name = String(key.value);
      if (name === "__proto__" || name === "<<") this.#fault("yaml", `The name \`${name}\` is not allowed.`, at, path);
      else if (Object.hasOwn(map, name))
        this.#fault("yaml", `\`${clip(name)}\` is there twice; remove one.`, at, [...path, name]);
      else map[name] = this.#convert(value as Node | null, key as unknown as Node, [...path, name]);
    }
    return map;
  }

  #scalar(node: Scalar, start: number, path: readonly Segment[]): unknown {
    const { value } = node;
    if (typeof value === "number") {
      if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
        this.#fault("yaml", "The number is too large; put it in quotes to keep it as a text.", start, path);
      return value;
    }
    if (value === null || typeof value === "string" || typeof value === "boolean") return value;
    this.#fault("yaml", "A value is a text, a number, true, false, null, a list or an object.", start, path);
    return null;
  }
}

/** Undefined when it is nested too deeply even to be parsed. */
function parse(source: string, lineCounter: LineCounter): ReturnType<typeof parseDocument> | undefined {
  const { stackTraceLimit } = Error;
  // The library makes an error for every second character of hostile input; their stacks take a second of the hub's time.
  Error.stackTraceLimit = 0;
  try {
    return parseDocument(source, {
      version: "1.2",
      schema: "core",
      strict: true,
      // Compared by us: the library looks at each pair of names.
      uniqueKeys: false,
      merge: false,
      prettyErrors: false,
      logLevel: "error",
      lineCounter,
    });
  } catch {
    return undefined;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Before anything is parsed: what the parser is slow on, were there tens of thousands. */
function tooMany(source: string): boolean {
  for (const [sign, most] of [
    ["\n", 5_000],
    [",", 5_000],
    ["!", 5_000],
    ["&", 5_000],
    ["*", 5_000],
    [": ", 2_500],
  ] as const) {
    let count = 0;
    for (let at = source.indexOf(sign); at !== -1; at = source.indexOf(sign, at + 1)) if (++count > most) return true;
  }
  return false;
}

function keyOf(path: readonly Segment[]): string {
  return JSON.stringify(path);
}

/**
 * The library composes by recursion, so what nests is looked for first: brackets, and dashes or question marks at the
 * head of a line. Indentation needs as many characters a level as there are levels. It is no exact count, as brackets
 * within texts count here, too: what is found is beyond four times `depth`.
 */
function tooDeepAt(source: string, depth: number): number | undefined {
  const most = depth * 4;
  let open = 0;
  let row = 0;
  let head = true;
  for (let at = 0; at < source.length; at++) {
    const character = source[at]!;
    if (character === "[" || character === "{") open += 1;
    else if ((character === "]" || character === "}") && open > 0) open -= 1;
    if (character === "\n") {
      row = 0;
      head = true;
    } else if ((character === "-" || character === "?" || character === ":") && isBreak(source[at + 1]))
      row += head ? 1 : 0;
    else if (!isBreak(character)) head = false;
    if (open > most || row > most) return at;
  }
  return undefined;
}

function isBreak(character: string | undefined): boolean {
  return character === undefined || character === " " || character === "\t" || character === "\n" || character === "\r";
}

function yamlSentence(code: string, message: string): string {
  const sentences: Record<string, string> = {
    TAB_AS_INDENT: "YAML is indented with spaces, not tabs.",
    MULTIPLE_DOCS: "One rule a document: remove what follows `---`.",
    MISSING_CHAR: "A quote, bracket or comma is missing here.",
    BAD_INDENT: "The indentation does not fit what stands above.",
    BAD_ALIAS: "Aliases (`*name`) are not read; write the value again.",
    BLOCK_AS_IMPLICIT_KEY: "The indentation does not fit: here a field's value begins where none can.",
    MULTILINE_IMPLICIT_KEY: "A `:` is missing, or a text over several lines needs quotes.",
    TAG_RESOLVE_FAILED: "Tags are not read; remove it.",
  };
  return sentences[code] ?? `This is no YAML: ${clip(message.split("\n")[0] ?? "", 160)}`;
}
