/** Writes plugin-api/manifest.schema.json from the schema in TypeScript; with `--check`, fails when the file differs. */
import { readFile, writeFile } from "node:fs/promises";
import { manifestSchema } from "../plugin-api/src/manifest.ts";

const target = new URL("../plugin-api/manifest.schema.json", import.meta.url);

export function manifestSchemaText(): string {
  return `${JSON.stringify(manifestSchema, null, 2)}\n`;
}

/** True when the file is as it should be. */
export async function isManifestSchemaFresh(): Promise<boolean> {
  return (await readFile(target, "utf8").catch(() => "")) === manifestSchemaText();
}

if (import.meta.main) {
  if (!process.argv.includes("--check")) await writeFile(target, manifestSchemaText());
  else if (!(await isManifestSchemaFresh())) {
    console.error("plugin-api/manifest.schema.json is out of date. Run: node tools/gen-manifest-schema.ts");
    process.exitCode = 1;
  }
}
