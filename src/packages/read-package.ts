/**
 * Reads a tarball from outside. The work happens in a worker thread with a time and a memory limit; this half only
 * hands the bytes over and turns the answer into an error or a content. Nothing is written anywhere.
 */
import { BackplaneError } from "../errors/error.ts";
import type { PackageContent } from "./inspect-package.ts";
import { packageLimits } from "./limits.ts";
import { type PackageFaultData, toError } from "./package-fault.ts";
import { runInWorker, siblingModule } from "./run-in-worker.ts";

export type { PackageContent } from "./inspect-package.ts";
export type ReadAnswer = { content: PackageContent } | { fault: PackageFaultData };

/** Errors: `invalid_package`, `invalid_manifest` with `errors`, `payload_too_large`, `rate_limited`. */
export async function readPackage(bytes: Uint8Array): Promise<PackageContent> {
  // Before anything is copied.
  if (bytes.byteLength > packageLimits.archiveBytes) {
    throw new BackplaneError("payload_too_large", { size: bytes.byteLength, limit: packageLimits.archiveBytes });
  }
  const outcome = await runInWorker<ReadAnswer>(siblingModule("read-package-worker"), bytes, {
    timeoutMs: packageLimits.readMs,
  });
  if (!outcome) throw new BackplaneError("rate_limited", { retryAfter: 5 });
  if (!outcome.ok) {
    const reason = {
      timeout: "reading it took too long",
      memory: "reading it took too much memory",
      crash: "reading it failed",
    }[outcome.failure];
    throw new BackplaneError("invalid_package", { reason }, { cause: outcome.cause });
  }
  if ("fault" in outcome.value) throw toError(outcome.value.fault);
  return outcome.value.content;
}
