/** A reporter for Node's test runner: one line of JSON for each test that ended, suites and files left out. */
import type { AuthorTest } from "./run-author-tests.ts";

interface RunnerEvent {
  type: string;
  data: {
    name: string;
    file?: string;
    skip?: string | boolean;
    todo?: string | boolean;
    details?: { type?: string; duration_ms?: number; error?: { message?: string; cause?: unknown } };
  };
}

export default async function* report(source: AsyncIterable<RunnerEvent>): AsyncGenerator<string> {
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    const skipped =
      (data.skip !== undefined && data.skip !== false) || (data.todo !== undefined && data.todo !== false);
    const test: AuthorTest = {
      file: data.file ?? "",
      name: data.name,
      status: skipped ? "skipped" : type === "test:pass" ? "passed" : "failed",
      ms: Math.round(data.details?.duration_ms ?? 0),
    };
    const error = data.details?.error;
    if (type === "test:fail" && error)
      test.error =
        error.cause instanceof Error
          ? (error.cause.stack ?? error.cause.message)
          : String(error.message ?? error.cause ?? "");
    yield `${JSON.stringify(test)}\n`;
  }
}
