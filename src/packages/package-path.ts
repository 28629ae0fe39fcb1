/**
 * Which file names a package may hold. One strict rule instead of a list of tricks: a relative path of plain segments,
 * the same under Unicode compatibility normalisation, valid on every file system, so that no reader can see another path.
 */
import { packageLimits } from "./limits.ts";

/** Device names that Windows opens instead of a file, with or without an extension. */
const windowsDevice = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i;

/** Says what is wrong with `path` (a clause), or undefined when it is acceptable. */
export function pathFault(path: string): string | undefined {
  if (path === "") return "is empty";
  if (Buffer.byteLength(path) > packageLimits.pathBytes) return `is longer than ${packageLimits.pathBytes} bytes`;
  if (path.includes("\0")) return "holds a NUL";
  if (!path.isWellFormed()) return "is not valid Unicode";
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(path)) return "holds control or invisible characters";
  if (path.normalize("NFKC") !== path) return "is not in normalised Unicode, so it may look like another name";
  if (path.startsWith("/")) return "is absolute";
  if (path.includes("\\")) return "holds a backslash";
  if (/[<>:"|?*]/.test(path)) return 'holds one of < > : " | ? *';
  const segments = path.split("/");
  if (segments.length > packageLimits.pathDepth) return `is deeper than ${packageLimits.pathDepth} folders`;
  for (const segment of segments) {
    if (segment === "..") return "leads out of its folder";
    if (segment === "" || segment === ".") return "has an empty or '.' segment";
    if (/[. ]$/.test(segment) || segment.startsWith(" "))
      return "has a segment that begins or ends with a space or ends with a dot";
    if (windowsDevice.test(segment)) return "names a device";
  }
  return undefined;
}

/** Equal for names that some file system would take for the same file. */
export function foldPath(path: string): string {
  // Upper then lower case folds more than either alone (ß and SS, dotless i, final sigma).
  return path.normalize("NFKD").toUpperCase().toLowerCase().normalize("NFC");
}
