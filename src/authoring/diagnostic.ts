/** One thing wrong with a plugin folder, placed in its file: what `validate`, `dev` and `pack` tell an author. */
import type { BackplaneError, FieldError } from "../errors/error.ts";

export interface Diagnostic {
  /** Relative to the plugin's folder; absent for a field of a request. */
  file?: string;
  /** 1-based. */
  line?: number;
  column?: number;
  /** `permissions[0]`; `$` is the whole. */
  field?: string;
  message: string;
}

/** `plugin.json:12:5 permissions[0]: what is wrong`. */
export function formatDiagnostic({ file, line, column, field, message }: Diagnostic): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  const where = [place, field === "$" && file !== undefined ? undefined : field].filter(Boolean).join(" ");
  return where === "" ? message : `${where}: ${message}`;
}

/** Faults of a plugin folder name their file; those of a request only their field. */
export function diagnosticsOf(error: BackplaneError): Diagnostic[] {
  const faults = error.errors ?? [];
  if (error.code === "invalid_manifest") return faults.map(inManifest);
  if (error.code === "bundle_failed") return faults.map(inSource);
  return faults.map(({ path, message }) => ({ field: path, message }));
}

export function inManifest({ path, ...rest }: FieldError): Diagnostic {
  return { file: "plugin.json", field: path, ...rest };
}

export function inSource({ path, ...rest }: FieldError): Diagnostic {
  const ofManifest = path === "entrypoint" || path === "$";
  return ofManifest ? { file: "plugin.json", field: path, ...rest } : { file: path, ...rest };
}
