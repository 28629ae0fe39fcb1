/**
 * Writes the parts of the docs that are tables of the code: the import table in ARCHITECTURE.md,
 * docs/errors/README.md and the types in docs/data-model.md.
 * `--check` writes nothing and ends with 1 when a file is stale; a test runs that.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { entitySchemas } from "../plugin-api/src/model/entity-types.ts";
import type { FieldSchema } from "../src/entities/check-entity.ts";
import { type ErrorRow, errorTable } from "../src/errors/table.ts";
import { floors } from "../test/architecture/floors.ts";

const root = join(import.meta.dirname, "..");

export function generatedDocs(): { file: string; text: string }[] {
  return [
    { file: "ARCHITECTURE.md", text: withFloors(readFileSync(join(root, "ARCHITECTURE.md"), "utf8")) },
    { file: "docs/errors/README.md", text: errorPage() },
    { file: "docs/data-model.md", text: withTypes(readFileSync(join(root, "docs/data-model.md"), "utf8")) },
  ];
}

function withFloors(text: string): string {
  const rows = [...floors]
    .sort((a, b) => a.floor - b.floor)
    .map(
      ({ floor, folder, is, siblings }) =>
        `| ${floor} | \`${folder}\` | ${is} | ${(siblings ?? []).map((name) => `\`${name}\``).join(", ")} |`,
    );
  const table = ["| floor | folder | is | may also import |", "| --- | --- | --- | --- |", ...rows].join("\n");
  return text.replace(/<!-- floors -->[\s\S]*<!-- \/floors -->/, () => `<!-- floors -->\n${table}\n<!-- /floors -->`);
}

function withTypes(text: string): string {
  const parts = Object.entries(entitySchemas).map(([type, { description, properties }]) => {
    const rows = Object.entries(properties as Record<string, FieldSchema & { description: string }>)
      .filter(([field]) => field !== "tags")
      .map(([field, schema]) => `| \`${field}\` | ${kindOf(schema)} | ${schema.description} |`);
    return [`### ${type}`, "", description, "", "| field | holds | is |", "| --- | --- | --- |", ...rows].join("\n");
  });
  return text.replace(
    /<!-- types -->[\s\S]*<!-- \/types -->/,
    () => `<!-- types -->\n${parts.join("\n\n")}\n<!-- /types -->`,
  );
}

function kindOf({ type, format, enum: values, items, properties }: FieldSchema): string {
  if (values) return values.map((value) => `\`${value}\``).join(", ");
  if (format !== undefined) return format === "date" ? "day" : "time";
  if (typeof type === "object") return type.join(" or ");
  if (type === "array")
    return items?.properties ? `list of {${Object.keys(items.properties).join(", ")}}` : "list of texts";
  if (type === "object") return properties ? `{${Object.keys(properties).join(", ")}}` : "object";
  return type === "string" ? "text" : (type ?? "any");
}

const recoveries: Record<ErrorRow["recovery"], string> = {
  retry: "try again later",
  reconfigure: "change a setting",
  fix_plugin: "the plugin must be changed",
  fix_request: "change the request",
  ask_admin: "ask the admin",
  none: "nothing",
};

function errorPage(): string {
  const rows = Object.entries(errorTable as Record<string, ErrorRow>).map(
    ([code, { status, message, audience, recovery }]) =>
      `| \`${code}\` | ${status} | ${message.replaceAll("|", "\\|")} | ${audience} | ${recoveries[recovery]} |`,
  );
  return `# Errors

Every error of the API is \`application/problem+json\` (RFC 9457) with one of these codes; plugins meet some of them as
\`error.code\`. Codes are stable: they never change their meaning and are never used again. A sentence's \`{words}\` are filled in.

This page is made from \`src/errors/table.ts\` by \`tools/gen-docs.ts\`.

| code | status | sentence | for | what helps |
| --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

if (import.meta.main) {
  const check = process.argv.includes("--check");
  for (const { file, text } of generatedDocs()) {
    const path = join(root, file);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    if (check) {
      console.error(`${file} is stale: run node tools/gen-docs.ts`);
      process.exitCode = 1;
    } else {
      writeFileSync(path, text);
    }
  }
}
