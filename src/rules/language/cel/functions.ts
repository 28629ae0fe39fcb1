/** Functions and methods of expressions, each with its types and its price. A table; macros are in compile.ts. */
import { ruleLimits } from "../limits.ts";
import { type Frame, fail } from "./failure.ts";
import { matchesPattern } from "./regex.ts";
import { readDuration, readTimestamp, type TimePart, timePart } from "./time.ts";
import type { CelType } from "./types.ts";
import { absent, type CelDuration, toText, typeOf } from "./values.ts";

/** `number` is an int or a double, `any` is whatever there is, even an absent field. */
export type ArgumentType = CelType | "number" | "any";

export interface Overload {
  /** Of a method, the receiver comes first. */
  takes: readonly ArgumentType[];
  gives: CelType;
  // biome-ignore lint/suspicious/noExplicitAny: `takes` was checked before the call.
  call(frame: Frame, offset: number, ...values: any[]): unknown;
}

export function accepts(wanted: ArgumentType, type: CelType | "absent"): boolean {
  if (wanted === "any") return true;
  if (type === "dyn" || wanted === "dyn") return type !== "absent";
  return wanted === type || (wanted === "number" && (type === "int" || type === "double"));
}

/** As `typeOf`, of a value at run time. */
export function acceptsValue(wanted: ArgumentType, value: unknown): boolean {
  return accepts(wanted, typeOf(value));
}

function overload(takes: readonly ArgumentType[], gives: CelType, call: Overload["call"]): Overload {
  return { takes, gives, call };
}

const maxInt = 9_223_372_036_854_775_807n;

/** Of 64 bits, as CEL has it. */
export function checkedInt(value: bigint, offset: number): bigint {
  return value <= maxInt && value >= -maxInt - 1n ? value : fail("argument", "The whole number is too large.", offset);
}

export function madeText(text: string, frame: Frame, offset: number): string {
  frame.spend(text.length >> 4, offset);
  return text.length > ruleLimits.textLength ? fail("size", "The text gets too long.", offset) : text;
}

export function madeList(list: unknown[], frame: Frame, offset: number): unknown[] {
  frame.spend(list.length, offset);
  return list.length > ruleLimits.listLength ? fail("size", "The list gets too long.", offset) : list;
}

function look(frame: Frame, offset: number, ...texts: string[]): void {
  let sum = 0;
  for (const text of texts) sum += text.length;
  frame.spend(sum >> 4, offset);
}

/** Searching may look at each place of the text as often as the needle is long. */
function search(frame: Frame, offset: number, text: string, needle: string): void {
  frame.spend((text.length * (1 + Math.min(needle.length, 256) / 8)) >> 4, offset);
}

function index(value: number | bigint, length: number, offset: number): number {
  const at = Number(value);
  return Number.isInteger(at) && at >= 0 && at <= length
    ? at
    : fail("argument", `The position is outside: there are ${length} characters.`, offset);
}

function size(frame: Frame, offset: number, value: unknown): bigint {
  if (typeof value === "string") {
    frame.spend(value.length >> 4, offset);
    let characters = 0;
    for (const _ of value) characters += 1;
    return BigInt(characters);
  }
  if (Array.isArray(value)) return BigInt(value.length);
  const names = Object.keys(value as object).length;
  frame.spend(names >> 2, offset);
  return BigInt(names);
}

function readInt(text: string, offset: number): bigint {
  return /^[+-]?\d{1,19}$/.test(text)
    ? checkedInt(BigInt(text.replace("+", "")), offset)
    : fail("argument", "The text is no whole number.", offset);
}

function readDouble(text: string, offset: number): number {
  return /^[+-]?(\d{1,40}(\.\d{1,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?$/.test(text)
    ? Number(text)
    : fail("argument", "The text is no number.", offset);
}

const sizes = [overload(["string"], "int", size), overload(["list"], "int", size), overload(["map"], "int", size)];

export const functions: ReadonlyMap<string, readonly Overload[]> = new Map([
  ["size", sizes],
  ["dyn", [overload(["dyn"], "dyn", (_f, _o, value) => value)]],
  [
    "string",
    (["string", "bool", "int", "double", "timestamp", "duration"] as const).map((type) =>
      overload([type], "string", (_f, offset, value) => toText(value, offset)),
    ),
  ],
  [
    "int",
    [
      overload(["int"], "int", (_f, _o, value: bigint) => value),
      overload(["double"], "int", (_f, offset, value: number) =>
        Number.isFinite(value)
          ? checkedInt(BigInt(Math.trunc(value)), offset)
          : fail("argument", "The number is not finite.", offset),
      ),
      overload(["string"], "int", (_f, offset, value: string) => readInt(value, offset)),
      overload(["timestamp"], "int", (_f, _o, value: Date) => BigInt(Math.floor(value.getTime() / 1000))),
    ],
  ],
  [
    "double",
    [
      overload(["number"], "double", (_f, _o, value: number | bigint) => Number(value)),
      overload(["string"], "double", (_f, offset, value: string) => readDouble(value, offset)),
    ],
  ],
  [
    "bool",
    [
      overload(["bool"], "bool", (_f, _o, value: boolean) => value),
      overload(["string"], "bool", (_f, offset, value: string) =>
        value === "true" || value === "1"
          ? true
          : value === "false" || value === "0"
            ? false
            : fail("argument", "The text is neither `true` nor `false`.", offset),
      ),
    ],
  ],
  [
    "timestamp",
    [
      overload(["timestamp"], "timestamp", (_f, _o, value: Date) => value),
      overload(["string"], "timestamp", (_f, offset, value: string) => readTimestamp(value, offset)),
      overload(["number"], "timestamp", (_f, offset, value: number | bigint) => readTimestamp(value, offset)),
    ],
  ],
  [
    "duration",
    [
      overload(["duration"], "duration", (_f, _o, value: CelDuration) => value),
      overload(["string"], "duration", (frame, offset, value: string) => {
        frame.spend(2 + (Math.min(value.length, 200) >> 2), offset);
        return readDuration(value, offset);
      }),
    ],
  ],
]);

const timeParts: readonly TimePart[] = [
  "getFullYear",
  "getMonth",
  "getDate",
  "getDayOfMonth",
  "getDayOfWeek",
  "getDayOfYear",
  "getHours",
  "getMinutes",
  "getSeconds",
  "getMilliseconds",
];

const durationUnits: Record<string, number> = {
  getHours: 3_600_000,
  getMinutes: 60_000,
  getSeconds: 1_000,
  getMilliseconds: 1,
};

export const methods: ReadonlyMap<string, readonly Overload[]> = new Map<string, readonly Overload[]>([
  ["size", sizes],
  [
    "startsWith",
    [
      overload(["string", "string"], "bool", (frame, offset, text: string, other: string) => {
        look(frame, offset, other);
        return text.startsWith(other);
      }),
    ],
  ],
  [
    "endsWith",
    [
      overload(["string", "string"], "bool", (frame, offset, text: string, other: string) => {
        look(frame, offset, other);
        return text.endsWith(other);
      }),
    ],
  ],
  [
    "contains",
    [
      overload(["string", "string"], "bool", (frame, offset, text: string, other: string) => {
        search(frame, offset, text, other);
        return text.includes(other);
      }),
    ],
  ],
  [
    "matches",
    [
      overload(["string", "string"], "bool", (frame, offset, text: string, pattern: string) =>
        matchesPattern(text, pattern, frame, offset),
      ),
    ],
  ],
  [
    "lowerAscii",
    [
      overload(["string"], "string", (frame, offset, text: string) =>
        madeText(
          text.replace(/[A-Z]+/g, (part) => part.toLowerCase()),
          frame,
          offset,
        ),
      ),
    ],
  ],
  [
    "upperAscii",
    [
      overload(["string"], "string", (frame, offset, text: string) =>
        madeText(
          text.replace(/[a-z]+/g, (part) => part.toUpperCase()),
          frame,
          offset,
        ),
      ),
    ],
  ],
  ["trim", [overload(["string"], "string", (frame, offset, text: string) => madeText(text.trim(), frame, offset))]],
  [
    "indexOf",
    [
      overload(["string", "string"], "int", (frame, offset, text: string, other: string) => {
        search(frame, offset, text, other);
        return BigInt(text.indexOf(other));
      }),
      overload(["string", "string", "number"], "int", (frame, offset, text: string, other: string, from: bigint) => {
        search(frame, offset, text, other);
        return BigInt(text.indexOf(other, index(from, text.length, offset)));
      }),
    ],
  ],
  [
    "lastIndexOf",
    [
      overload(["string", "string"], "int", (frame, offset, text: string, other: string) => {
        search(frame, offset, text, other);
        return BigInt(text.lastIndexOf(other));
      }),
    ],
  ],
  [
    "substring",
    [
      overload(["string", "number"], "string", (frame, offset, text: string, from: bigint) =>
        madeText(text.slice(index(from, text.length, offset)), frame, offset),
      ),
      overload(["string", "number", "number"], "string", (frame, offset, text: string, from: bigint, to: bigint) => {
        const end = index(to, text.length, offset);
        return madeText(text.slice(index(from, end, offset), end), frame, offset);
      }),
    ],
  ],
  [
    "replace",
    [
      overload(["string", "string", "string"], "string", (frame, offset, text: string, old: string, by: string) => {
        search(frame, offset, text, old);
        // What it becomes is known only when it is there; the worst case is asked first.
        const worst = text.length + (Math.floor(text.length / Math.max(1, old.length)) + 1) * by.length;
        if (worst > ruleLimits.textLength * 4) return fail("size", "The text may get too long.", offset);
        frame.spend(worst >> 4, offset);
        return madeText(
          text.replaceAll(old, () => by),
          frame,
          offset,
        );
      }),
    ],
  ],
  [
    "split",
    [
      overload(["string", "string"], "list", (frame, offset, text: string, by: string) => {
        search(frame, offset, text, by);
        return madeList(text.split(by, ruleLimits.listLength + 1), frame, offset);
      }),
    ],
  ],
  [
    "join",
    [
      overload(["list"], "string", (frame, offset, list: unknown[]) => join(frame, offset, list, "")),
      overload(["list", "string"], "string", join),
    ],
  ],
  ["hasValue", [overload(["any"], "bool", (_f, _o, value) => value !== absent)]],
  ["orValue", [overload(["any", "any"], "dyn", (_f, _o, value, other) => (value === absent ? other : value))]],
  ...timeParts.map((part): [string, Overload[]] => {
    const unit = durationUnits[part];
    return [
      part,
      [
        overload(["timestamp"], "int", (frame, offset, time: Date) => timePart(part, time, undefined, frame, offset)),
        overload(["timestamp", "string"], "int", (frame, offset, time: Date, zone: string) =>
          timePart(part, time, zone, frame, offset),
        ),
        ...(unit === undefined
          ? []
          : [overload(["duration"], "int", (_f, _o, value: CelDuration) => BigInt(Math.trunc(value.ms / unit)))]),
      ],
    ];
  }),
]);

function join(frame: Frame, offset: number, list: unknown[], by: string): string {
  frame.spend(list.length, offset);
  let length = 0;
  for (const item of list) {
    if (typeof item !== "string") return fail("type", "`join` takes a list of texts.", offset);
    length += item.length + by.length;
  }
  if (length > ruleLimits.textLength) return fail("size", "The text gets too long.", offset);
  return madeText(list.join(by), frame, offset);
}

/** For tables in the documentation and for "did you mean". */
export const macros = ["has", "all", "exists", "exists_one", "map", "filter"] as const;
