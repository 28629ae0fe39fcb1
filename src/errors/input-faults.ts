/**
 * What is wrong with an input, in our own words: for each fault its path, what was expected, and what was given. Give `inputSentence` to
 * `safeParse` as `error` (a message that a schema has of its own stands), and its error to `inputFaults`. Values are quoted only
 * where they missed a list of allowed ones or a bound: anything else could be a secret.
 */
import type { z } from "zod";
import type { FieldError } from "./error.ts";

type Issue = z.core.$ZodRawIssue;

export const inputSentence = (issue: Issue): string => {
  if (issue.input === undefined) return `is missing: it must be ${wanted(issue) ?? "there"}`;
  switch (issue.code) {
    case "invalid_type":
      if (typeof issue.input === "number" && issue.expected === "int")
        return `must be a whole number, not ${issue.input}`;
      return `must be ${wanted(issue)}${notGiven(issue.input)}`;
    case "invalid_union":
      return `must be ${wanted(issue) ?? "of another shape"}${notGiven(issue.input)}`;
    case "invalid_value":
      return `must be ${wanted(issue)}, not ${quoted(issue.input)}`;
    case "too_small":
      return bound(issue, "least");
    case "too_big":
      return bound(issue, "most");
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}, not ${String(issue.input)}`;
    case "invalid_format":
      return `must be ${formats[issue.format] ?? (issue.pattern ? `a text that matches ${issue.pattern}` : "of another form")}`;
    case "unrecognized_keys":
      return `has unknown fields: ${issue.keys.join(", ").slice(0, 200)}`;
    case "invalid_key":
      return "has a name that is not allowed";
    default:
      return "is not valid";
  }
};

/** At most `most`; `$` is the root, and each path begins with it where `root` says so. */
export function inputFaults(
  { issues }: Pick<z.ZodError, "issues">,
  { root = "", most = 100 }: { root?: "" | "$"; most?: number } = {},
): FieldError[] {
  const pathOf = (path: readonly PropertyKey[]): string => [...(root ? [root] : []), ...path.map(String)].join(".");
  return issues
    .flatMap((issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: "is not a known field" }))
        : [{ path: pathOf(issue.path) || "$", message: issue.message }],
    )
    .slice(0, most);
}

const types: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
  date: "a time",
  null: "null",
};

const formats: Readonly<Record<string, string>> = {
  datetime: "a time such as 2026-01-31T12:00:00Z",
  date: "a date such as 2026-01-31",
  url: "an address such as https://example.com/path",
  email: "an email address",
  uuid: "a UUID",
};

function wanted(issue: object): string | undefined {
  const { code, expected, values, errors } = issue as Record<string, unknown>;
  if (code === "invalid_type") return types[String(expected)] ?? String(expected);
  if (code === "invalid_value" && Array.isArray(values))
    return values.length === 1 ? quoted(values[0]) : `one of ${values.slice(0, 30).map(quoted).join(", ")}`;
  if (code !== "invalid_union" || !Array.isArray(errors)) return undefined;
  const shapes = (errors as Issue[][]).map(([first, ...more]) =>
    first && more.length === 0 && (first.path ?? []).length === 0 ? wanted(first) : undefined,
  );
  return shapes.length > 0 && shapes.every((shape) => shape !== undefined)
    ? [...new Set(shapes)].join(" or ")
    : undefined;
}

function bound(issue: Issue, which: "least" | "most"): string {
  const {
    origin,
    minimum,
    maximum,
    inclusive = true,
    exact = false,
    input,
  } = issue as unknown as Record<string, unknown>;
  const limit = Number(which === "least" ? minimum : maximum);
  const size = typeof input === "string" || Array.isArray(input) ? input.length : undefined;
  if (size !== undefined) {
    if (which === "least" && limit === 1) return "must not be empty";
    const unit = `${origin === "string" ? "character" : "item"}${limit === 1 ? "" : "s"}`;
    return `must have ${exact ? "exactly" : `at ${which}`} ${limit} ${unit}, not ${size}`;
  }
  if (typeof input !== "number" && typeof input !== "bigint") return `must be at ${which} ${limit}`;
  const edge = inclusive ? `at ${which}` : which === "least" ? "more than" : "less than";
  return `must be ${edge} ${limit}, not ${input}`;
}

/** Of another type than was expected, so its type says enough. */
function notGiven(input: unknown): string {
  if (input === null) return ", not null";
  if (typeof input === "number") return Number.isFinite(input) ? ", not a number" : "";
  const name = types[Array.isArray(input) ? "array" : typeof input];
  return name === undefined ? "" : `, not ${name}`;
}

function quoted(value: unknown): string {
  const text = typeof value === "string" ? value : typeof value === "object" ? "an object" : String(value);
  return typeof value === "object" ? text : `\`${text.length > 60 ? `${text.slice(0, 60)}…` : text}\``;
}
