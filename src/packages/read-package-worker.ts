/** Worker half of read-package.ts: inspects the tarball in its `workerData` and posts what it found. */
import { parentPort, workerData } from "node:worker_threads";
import { inspectPackage } from "./inspect-package.ts";
import { PackageFault } from "./package-fault.ts";
import type { ReadAnswer } from "./read-package.ts";

async function answer(): Promise<ReadAnswer> {
  try {
    return { content: await inspectPackage(workerData as Uint8Array) };
  } catch (error) {
    if (error instanceof PackageFault) return { fault: error.data };
    throw error;
  }
}

parentPort?.postMessage(await answer());
