/**
 * Writes a new plugin: a small complete one that validates, type-checks and passes its own test as it stands. Never writes
 * over a file.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BackplaneError } from "../errors/error.ts";
import { parseManifest } from "../manifest/parse-manifest.ts";
import { linkPluginApi } from "./link-plugin-api.ts";
import { channelTemplate } from "./templates/channel.ts";
import { connectorTemplate } from "./templates/connector.ts";
import { domainTemplate } from "./templates/domain.ts";
import { operatorTemplate } from "./templates/operator.ts";
import type { PluginTemplate, ScaffoldType, TemplateNames } from "./templates/template.ts";

export interface ScaffoldOptions {
  /** Folder to write; made when it is missing. */
  dir: string;
  /** @default from the folder's name */
  id?: string;
  /** @default from the id */
  name?: string;
  /** @default "domain" */
  type?: ScaffoldType;
  description?: string;
}

export interface Scaffolded {
  id: string;
  name: string;
  /** Relative to the folder, in the order they were written. */
  files: string[];
}

const templates: Record<ScaffoldType, PluginTemplate> = {
  domain: domainTemplate,
  connector: connectorTemplate,
  channel: channelTemplate,
  operator: operatorTemplate,
};

/** Errors: `invalid_input` (id or name), `conflict` (a file is there already). Then nothing was written. */
export async function scaffold({ dir, type = "domain", ...given }: ScaffoldOptions): Promise<Scaffolded> {
  const id = given.id ?? idFrom(basename(dir));
  const name = given.name ?? titleFrom(id);
  const template = templates[type];
  const names: TemplateNames = {
    id,
    name,
    domain: eventDomain(id),
    description: given.description ?? template.description,
  };
  const files = filesOf(template, names, type);
  checkManifest(files.get("plugin.json") ?? "");
  const present = await readdir(dir).catch((): string[] => []);
  const taken = [...files.keys()].filter((file) => present.includes(file));
  if (taken.length > 0)
    throw new BackplaneError("conflict", { reason: `${dir} has ${taken.join(", ")} already; nothing was written.` });
  for (const [file, text] of files) {
    const path = join(dir, file);
    await mkdir(dirname(path), { recursive: true });
    // `wx` refuses even a file that appeared since.
    await writeFile(path, text, { flag: "wx" });
  }
  await linkPluginApi(dir);
  return { id, name, files: [...files.keys()] };
}

/** A valid id out of any folder name. */
export function idFrom(folder: string): string {
  const id = folder
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .replace(/-*\.[-.]*/g, ".");
  return id === "" ? "my-plugin" : id;
}

function titleFrom(id: string): string {
  const last = id.split(/[./]/).at(-1) ?? id;
  return last.replace(
    /(^|-+)([a-z0-9])/g,
    (_, gap: string, letter: string) => `${gap ? " " : ""}${letter.toUpperCase()}`,
  );
}

/** First word of the plugin's own events. */
function eventDomain(id: string): string {
  const word = (id.split(/[./]/).at(-1) ?? "").replaceAll("-", "");
  return /^[a-z]/.test(word) && !["plugin", "backplane"].includes(word) ? word : `x${word}`;
}

function filesOf(template: PluginTemplate, names: TemplateNames, type: ScaffoldType): Map<string, string> {
  const manifest = {
    $schema: "./node_modules/@backplane/plugin-api/manifest.schema.json",
    id: names.id,
    name: names.name,
    version: "0.1.0",
    description: names.description,
    type,
    entrypoint: "./index.ts",
    ...template.manifest(names),
  };
  const parts = template.files(names);
  return new Map([
    ["plugin.json", `${JSON.stringify(manifest, null, 2)}\n`],
    ["index.ts", parts.code],
    ["index.test.ts", parts.test],
    ["README.md", readme(names, parts.readme)],
    [
      "package.json",
      `${JSON.stringify({ name: names.id.replaceAll("/", "-"), private: true, type: "module" }, null, 2)}\n`,
    ],
    ["tsconfig.json", tsconfig],
    [".gitignore", "node_modules/\n.backplane/\n*.tgz\n"],
  ]);
}

function checkManifest(text: string): void {
  const { faults } = parseManifest(text);
  if (faults.length > 0)
    throw new BackplaneError("invalid_input", {}, { errors: faults.map(({ path, message }) => ({ path, message })) });
}

function readme({ name, description }: TemplateNames, sections: string): string {
  return `# ${name}\n\n${description}\n\n${sections}\n## Work on it\n\n\`\`\`sh\nbackplane validate .   # the manifest and the code\nbackplane test .       # index.test.ts, in the production sandbox\nbackplane dev .        # build and reload on every change\nbackplane pack .       # the package to publish\n\`\`\`\n\nNothing needs installing: the commands put a link to the hub's types into \`node_modules/@backplane/plugin-api\`.\n`;
}

/** The sandbox's own globals instead of those of browsers or Node. */
const tsconfig = `${JSON.stringify(
  {
    compilerOptions: {
      target: "es2024",
      lib: ["es2024", "esnext.disposable"],
      module: "esnext",
      moduleResolution: "bundler",
      types: ["@backplane/plugin-api/globals", "@backplane/plugin-api/node-test"],
      strict: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      erasableSyntaxOnly: true,
      allowImportingTsExtensions: true,
      resolveJsonModule: true,
      skipLibCheck: true,
      noEmit: true,
    },
    include: ["**/*.ts"],
  },
  null,
  2,
)}\n`;
