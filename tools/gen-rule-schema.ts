/** Writes plugin-api/rule.schema.json from the schema in TypeScript; with `--check`, fails when the file differs. */
import { readFile, writeFile } from "node:fs/promises";
import { ruleSchema } from "../src/rules/language/rule-schema.ts";

const target = new URL("../plugin-api/rule.schema.json", import.meta.url);

export function ruleSchemaText(): string {
  return `${JSON.stringify(ruleSchema, null, 2)}\n`;
}

/** True when the file is as it should be. */
export async function isRuleSchemaFresh(): Promise<boolean> {
  return (await readFile(target, "utf8").catch(() => "")) === ruleSchemaText();
}

if (import.meta.main) {
  if (!process.argv.includes("--check")) await writeFile(target, ruleSchemaText());
  else if (!(await isRuleSchemaFresh())) {
    console.error("plugin-api/rule.schema.json is out of date. Run: node tools/gen-rule-schema.ts");
    process.exitCode = 1;
  }
}
