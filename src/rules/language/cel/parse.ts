/** Text to syntax tree by cel-js, within limits. Only its grammar is used: checking and evaluating at a bounded cost is ours. */
import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { clip } from "../../../manifest/path.ts";
import { ruleLimits } from "../limits.ts";

export interface SyntaxFault {
  message: string;
  /** Characters into the expression. */
  offset: number;
}

export type CelParser = (source: string) => { tree: ASTNode; fault?: never } | { fault: SyntaxFault; tree?: never };

/** To be thrown away after some use: the library remembers every function name it ever met, and these are an outsider's. */
export function createCelParser(): CelParser {
  const environment = new Environment({
    enableOptionalTypes: true,
    limits: {
      maxAstNodes: ruleLimits.expressionNodes,
      maxDepth: 40,
      maxListElements: 200,
      maxMapEntries: 200,
      maxCallArguments: 8,
    },
  })
    // A function of its own gives it tables of its own.
    .registerFunction("backplane(): bool", () => true);
  return (source) => {
    if (source.length > ruleLimits.expressionLength)
      return {
        fault: {
          message: `An expression may have at most ${ruleLimits.expressionLength} characters.`,
          offset: ruleLimits.expressionLength,
        },
      };
    if (source.trim() === "") return { fault: { message: "The expression is empty; write one.", offset: 0 } };
    try {
      return { tree: environment.parse(source).ast };
    } catch (error) {
      return { fault: syntaxFault(error, source) };
    }
  };
}

function syntaxFault(error: unknown, source: string): SyntaxFault {
  if (error instanceof RangeError) return { message: "The expression is nested too deeply.", offset: 0 };
  const { summary, range, code } = error as { summary?: string; range?: { start: number }; code?: string };
  const offset = Math.min(range?.start ?? 0, source.length);
  if (code?.includes("limit") === true || /exceeded/i.test(summary ?? ""))
    return { message: "The expression is too large or nested too deeply; split it up.", offset };
  if (offset >= source.trimEnd().length)
    return { message: "The expression ends too early: something is missing after this.", offset };
  const rest = source.slice(offset);
  const token = /^([A-Za-z_]\w*|\d+|[=&|!<>]+|.)/su.exec(rest)?.[0] ?? "";
  if (token === "=") return { message: "`=` is no operator; to compare, write `==`.", offset };
  if (token === "&" || token === "|")
    return { message: `\`${token}\` is no operator; write \`${token}${token}\`.`, offset };
  if (code === "reserved_identifier") return { message: `\`${clip(token)}\` is a reserved word.`, offset };
  if (/terminated/i.test(summary ?? "")) return { message: "A text has no closing quote.", offset };
  if (token === ";") return { message: "`;` is not part of CEL; one expression has no end sign.", offset };
  const said = clip(summary ?? "", 120);
  return { message: `\`${clip(token, 24)}\` cannot stand here${said === "" ? "" : ` (${said})`}.`, offset };
}
