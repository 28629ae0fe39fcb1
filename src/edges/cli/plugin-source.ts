/** Takes what an author names on the command line, an id, a folder or a tarball, and publishes it where needed. */
import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { covers } from "../../manifest/covers.ts";
import type { Cli } from "./cli.ts";
import { CliFailure } from "./failure.ts";
import type { HubClient } from "./hub-client.ts";

export interface ConsentLine {
  permission: string;
  required: boolean;
  sentence: string;
  risk: "low" | "medium" | "high";
}

export interface PublishedAnswer {
  id: string;
  version: string;
  digest: string;
  manifest: Record<string, unknown>;
  permissions: ConsentLine[];
  replacesBundled?: boolean;
}

export type PluginSource =
  | { kind: "id"; id: string }
  | { kind: "folder"; dir: string }
  | { kind: "tarball"; file: string };

/** A folder is one that holds a plugin.json or is written as a path; a tarball ends in `.tgz`; the rest are ids. */
export async function pluginSource(cwd: string, named: string): Promise<PluginSource> {
  const path = resolve(cwd, named);
  if (/\.(tgz|tar\.gz)$/.test(named)) return { kind: "tarball", file: path };
  const looksLikePath = /^(\.{1,2}$|\.{0,2}\/|[A-Za-z]:[\\/]|\.{1,2}\\)/.test(named);
  const hasManifest = (await stat(join(path, "plugin.json")).catch(() => undefined))?.isFile() ?? false;
  return looksLikePath || hasManifest ? { kind: "folder", dir: path } : { kind: "id", id: named };
}

export async function publishSource(
  hub: HubClient,
  source: Exclude<PluginSource, { kind: "id" }>,
): Promise<PublishedAnswer> {
  if (source.kind === "tarball") return publishBytes(hub, await readTarball(source.file));
  const { packPlugin } = await import("../../packages/pack.ts");
  return publishBytes(hub, (await packPlugin(source.dir)).tgz);
}

export function publishBytes(hub: HubClient, bytes: Uint8Array): Promise<PublishedAnswer> {
  return hub.call("/api/packages", { method: "POST", raw: { type: "application/gzip", bytes } });
}

async function readTarball(file: string): Promise<Uint8Array> {
  const info = await stat(file).catch(() => undefined);
  if (!info?.isFile())
    throw new CliFailure(`There is no file ${file}.`, {
      code: "file",
      help: "Make one with `backplane pack DIR -o FILE.tgz`.",
    });
  return readFile(file);
}

/** The permissions in plain words, for the person who decides. */
export function printConsent(
  { print }: Pick<Cli, "print">,
  permissions: readonly ConsentLine[],
  granted?: readonly string[],
): void {
  const colours = { low: "green", medium: "yellow", high: "red" } as const;
  if (permissions.length === 0) {
    print.line("It asks for no permissions.");
    return;
  }
  print.line(print.colour("bold", "It asks to:"));
  for (const { permission, required, sentence, risk } of permissions) {
    const mark = granted === undefined ? "-" : granted.some((held) => covers(held, permission)) ? "✓" : "·";
    print.line(
      `  ${mark} ${sentence} ${print.colour("dim", `[${permission}${required ? "" : ", optional"}]`)} ${print.colour(colours[risk], `${risk} risk`)}`,
    );
  }
}
