/** The pages that the docs tests read, and their parts: code blocks, words in backticks, links, marked tables. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

export interface CodeBlock {
  /** First word of the info string, such as `ts`. */
  language: string;
  /** The words after it. */
  marks: string[];
  text: string;
  /** 1-based line of its first line of code. */
  line: number;
}

export interface Page {
  /** Relative to the repository. */
  file: string;
  text: string;
  blocks: CodeBlock[];
  /** The text with code blocks emptied; lines stay where they were. */
  prose: string;
}

/** Decision records tell what was true when they were written, so they are only followed for links. */
export function readPages(): Page[] {
  const files = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    ...globSync("docs/**/*.md", { cwd: root }).sort(),
  ];
  return files.map((file) => readPage(file, readFileSync(join(root, file), "utf8")));
}

export function readPage(file: string, text: string): Page {
  const blocks: CodeBlock[] = [];
  const prose: string[] = [];
  let open: CodeBlock | undefined;
  for (const [i, line] of text.split("\n").entries()) {
    const fence = /^```(.*)$/.exec(line);
    if (fence && !open) {
      const [language = "", ...marks] = fence[1]!.trim().split(/\s+/);
      open = { language, marks, text: "", line: i + 2 };
    } else if (fence && open) {
      blocks.push(open);
      open = undefined;
    } else if (open) open.text += `${line}\n`;
    prose.push(fence || open ? "" : line);
  }
  if (open) throw new Error(`${file}: a code block is not closed`);
  return { file, text, blocks, prose: prose.join("\n") };
}

/** What stands between backticks in the prose. */
export function codeSpans({ prose }: Page): string[] {
  return [...prose.matchAll(/(`+)(.+?)\1(?!`)/gs)].map((match) => match[2]!.replaceAll("\n", " ").trim());
}

export function links({ prose }: Page): string[] {
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
}

/** Rows of the table between `<!-- name -->` and `<!-- /name -->`, without its head; cells trimmed. */
export function markedTable(page: Page, name: string): string[][] {
  const [, table] = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(page.text) ?? [];
  if (table === undefined) throw new Error(`${page.file} has no table '${name}'`);
  return rowsOf(table);
}

export function rowsOf(table: string): string[][] {
  return table
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) =>
      line
        .slice(1, line.lastIndexOf("|"))
        .split("|")
        .map((cell) => cell.trim()),
    );
}

export const bare = (cell: string): string => cell.replace(/^`|`$/g, "");
