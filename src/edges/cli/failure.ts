/**
 * How a command fails: one sentence, the faulty fields each on a line with file, line and column, and what helps. Turns
 * errors of the house and problems of the hub into that shape; stacks appear only with BACKPLANE_DEBUG=1.
 */
import { type Diagnostic, diagnosticsOf } from "../../authoring/diagnostic.ts";
import { BackplaneError } from "../../errors/error.ts";
import type { Recovery } from "../../errors/table.ts";

export const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

export interface FailureOptions {
  /** Code of the error table, where there is one. */
  code?: string;
  diagnostics?: Diagnostic[];
  /** What to do about it. */
  help?: string;
  exitCode?: number;
  cause?: unknown;
  /** What there is to say has been printed. */
  reported?: boolean;
  /** More for `--json`, such as `executionId`. */
  details?: Record<string, unknown>;
}

export class CliFailure extends Error {
  readonly code: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
  readonly help: string | undefined;
  readonly exitCode: number;
  readonly reported: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CliFailure";
    this.code = options.code;
    this.diagnostics = options.diagnostics ?? [];
    this.help = options.help;
    this.exitCode = options.exitCode ?? exitCodes.failed;
    this.reported = options.reported ?? false;
    this.details = options.details ?? {};
  }
}

export function usageFailure(message: string, help?: string): CliFailure {
  return new CliFailure(message, { exitCode: exitCodes.usage, code: "usage", ...(help === undefined ? {} : { help }) });
}

export function toFailure(error: unknown): CliFailure {
  if (error instanceof CliFailure) return error;
  if (error instanceof BackplaneError) {
    return new CliFailure(error.message, {
      code: error.code,
      diagnostics: diagnosticsOf(error),
      ...helpFor(error.code, error.row.recovery),
      cause: error,
    });
  }
  const { code, message, path } = error as { code?: unknown; message?: unknown; path?: unknown };
  if (typeof code === "string" && /^E[A-Z]+$/.test(code) && typeof path === "string") {
    return new CliFailure(`${path}: ${fileSentence(code)}`, { code: "file", cause: error });
  }
  return new CliFailure(`Something went wrong in this command: ${String(message ?? error)}`, {
    code: "internal",
    help: "Run it again with BACKPLANE_DEBUG=1 to see where, and report it.",
    cause: error,
  });
}

const recoveryHelp: Partial<Record<Recovery, string>> = {
  retry: "Try again shortly; `backplane doctor` shows how the hub is.",
  ask_admin: "Ask an admin of the organisation or of the hub.",
};

const codeHelp: Record<string, string> = {
  unauthenticated:
    "Set BACKPLANE_TOKEN to an API key of your organisation, or to the hub admin's token that `backplane start` names.",
  forbidden: "Use an API key with a higher role in BACKPLANE_TOKEN.",
  organization_required: "Set BACKPLANE_ORG to the organisation's id.",
  already_installed: "Move it to another version with `backplane upgrade ID VERSION`.",
  package_exists: "Raise `version` in plugin.json; while you develop, `backplane dev DIR` does it for you.",
  activation_blocked:
    "Set what is missing with `backplane configure ID key=value`, and grant with `backplane grants ID --grant all`.",
  invalid_config: "`backplane configure ID` without values shows what it takes.",
  plugin_not_active: "Run `backplane activate ID`.",
  plugin_quarantined: "Read why with `backplane logs ID`, fix the plugin, then `backplane activate ID`.",
  function_not_found: "`backplane plugins ID` lists what it offers.",
  permission_denied: "`backplane grants ID` shows what it may do and what waits for approval.",
  egress_denied: "Ask for the host in `permissions` as `network:outbound:HOST`, and grant it.",
};

export function helpFor(code: string, recovery: string | undefined): { help?: string } {
  const help = codeHelp[code] ?? recoveryHelp[recovery as Recovery];
  return help === undefined ? {} : { help };
}

function fileSentence(code: string): string {
  const sentences: Record<string, string> = {
    ENOENT: "there is no such file or folder.",
    EACCES: "may not be read or written by you.",
    EPERM: "may not be read or written by you.",
    EISDIR: "is a folder, not a file.",
    ENOTDIR: "is a file, not a folder.",
    ENOSPC: "cannot be written: the disk is full.",
    EROFS: "cannot be written: the disk is read-only.",
    EEXIST: "exists already.",
  };
  return sentences[code] ?? `cannot be used (${code}).`;
}
