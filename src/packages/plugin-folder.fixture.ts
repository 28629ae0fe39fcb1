/** For tests: writes plugin folders from a record of file contents into a temporary place that is removed afterwards. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface PluginFolder extends AsyncDisposable {
  dir: string;
  write(files: Record<string, string | Uint8Array>): Promise<void>;
}

export async function pluginFolder(files: Record<string, string | Uint8Array>): Promise<PluginFolder> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), "backplane-plugin-")));
  const write = async (more: Record<string, string | Uint8Array>): Promise<void> => {
    for (const [path, content] of Object.entries(more)) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), content);
    }
  };
  await write(files);
  return { dir, write, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

export const greeterManifest = {
  id: "acme.greeter",
  name: "Greeter",
  version: "1.0.0",
  type: "domain",
  entrypoint: "./index.ts",
  permissions: ["event:publish:greeter.*"],
  contributes: { functions: [{ name: "hello", description: "Greets someone", parameters: { type: "object" } }] },
};

export const greeterCode = `import { definePlugin } from "@backplane/plugin-api";
import { greet } from "./greet.ts";

export default definePlugin({
  functions: {
    async hello({ who }: { who: string }) { return { text: greet(who) }; },
  },
});
`;

export const greeterFiles = {
  "plugin.json": JSON.stringify(greeterManifest, null, 2),
  "index.ts": greeterCode,
  "greet.ts": `export function greet(who: string): string {\n  if (who === "nobody") throw new Error("nobody to greet");\n  return \`Hello, \${who}\`;\n}\n`,
  "README.md": "# Greeter\n",
};
