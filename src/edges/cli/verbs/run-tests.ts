/** `test DIR`: runs an author's tests; `testPlugin` in them runs the plugin in the production sandbox. */
import { resolve } from "node:path";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { CliFailure } from "../failure.ts";
import { collectAssignment } from "../typed-config.ts";

interface TestOptions {
  name?: string[];
  json?: boolean;
}

export function runTestsVerb(program: Command, { io, print, testKit }: Cli): void {
  program
    .command("test")
    .description("run a plugin's tests in the production sandbox")
    .argument("[dir]", "the plugin's folder", ".")
    .option("-n, --name <pattern>", "only tests whose name matches; may be repeated", collectAssignment)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane test ./greeter\n  backplane test ./greeter --name greets --json")
    .action(async (named: string, { name = [], json = false }: TestOptions) => {
      const { runAuthorTests } = await import("../../../authoring/run-author-tests.ts");
      const outcome = await runAuthorTests({
        dir: resolve(io.cwd, named),
        testKit,
        names: name,
        output: json ? undefined : io.stdout,
        env: io.env,
        signal: io.signal,
      });
      if (json) print.json(outcome);
      if (outcome.failed > 0)
        throw new CliFailure(`${outcome.failed} test(s) failed.`, { code: "tests_failed", reported: true });
      if (outcome.passed === 0)
        throw new CliFailure("No test ran.", {
          code: "no_tests",
          help: "Write one beside the code, such as index.test.ts.",
          reported: json,
        });
    });
}
