/** How large a package and its parts may be. Checked when a package is packed, published and loaded. */

const KB = 1024;
const MB = 1024 * KB;

export const packageLimits = {
  /** The tarball as sent, and the archive as stored. */
  archiveBytes: 10 * MB,
  /** The tarball after gunzip, headers included. */
  expandedBytes: 24 * MB,
  /** The bundled entrypoint. */
  codeBytes: 5 * MB,
  sourceMapBytes: 12 * MB,
  manifestBytes: 256 * KB,
  /** Entries of every kind in one tarball. */
  entries: 1000,
  pathBytes: 512,
  pathDepth: 16,
  /** One pax or GNU long-name header. */
  extendedHeaderBytes: 16 * KB,
  /** Wall time to read and check one package. */
  readMs: 15_000,
} as const;

/** Shows a byte count in the unit a person would use. */
export function formatBytes(bytes: number): string {
  if (bytes >= MB) return `${Number((bytes / MB).toFixed(1))} MB`;
  if (bytes >= KB) return `${Number((bytes / KB).toFixed(1))} KB`;
  return `${bytes} bytes`;
}
