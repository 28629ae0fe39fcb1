/** `doctor`: which walls, keys and drivers are active; of the running hub, or of this machine when none runs. */
import type { Command } from "commander";
import type { Finding } from "../../../authoring/local-checks.ts";
import type { Cli } from "../cli.ts";
import { CliFailure } from "../failure.ts";
import { printable } from "../printer.ts";

interface Diagnosis {
  version: string;
  node: string;
  ok: boolean;
  findings: Finding[];
  runners?: { id: string; pid: number; role: string; instances: number; residentBytes: number }[];
}

export function doctorVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("doctor")
    .description("show which walls, keys and drivers are active, and what is wrong")
    .option("--local", "look at this machine even when a hub runs")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  backplane doctor\n  backplane doctor --json")
    .action(async ({ local = false, json = false }: { local?: boolean; json?: boolean }) => {
      const { urlFrom, url } = cli.hubAddress();
      const running = local ? undefined : await askHub(cli, urlFrom !== "default");
      const diagnosis = running ?? (await diagnoseHere(cli));
      const where = running ? url : "this machine";
      const ok = diagnosis.findings.every(({ state }) => state !== "problem");
      if (json) print.json({ hub: running ? url : null, ...diagnosis, ok });
      else {
        print.line(
          running
            ? `The hub at ${url} (version ${printable(diagnosis.version)}, Node ${printable(diagnosis.node)})`
            : `No hub answers at ${url}; this machine would run one with:`,
        );
        show(cli, diagnosis);
      }
      const wrong = diagnosis.findings.filter(({ state }) => state === "problem");
      // The findings are the one document of `--json`, so the failure is only an exit code there.
      if (!ok && json)
        throw new CliFailure(`${wrong.length} finding(s) of ${where} need attention.`, {
          code: "unhealthy",
          reported: true,
        });
      if (!ok)
        throw new CliFailure(
          `${wrong.length === 1 ? "One finding needs" : `${wrong.length} findings need`} attention.`,
          { code: "unhealthy" },
        );
    });

  async function diagnoseHere({ version, readSettings }: Cli): Promise<Diagnosis> {
    const { checkMachine } = await import("../../../authoring/local-checks.ts");
    const findings = await checkMachine({ env: io.env, cwd: io.cwd, readSettings });
    return { version, node: process.versions.node, ok: true, findings };
  }
}

/** Undefined when no hub answers. One that was named must answer; one that refuses the token is an error in any case. */
async function askHub(cli: Cli, expected: boolean): Promise<Diagnosis | undefined> {
  try {
    return await cli.hub().call<Diagnosis>("/api/doctor", { timeoutMs: 15_000 });
  } catch (error) {
    const absent = error instanceof CliFailure && error.code === "no_hub";
    if (absent && !(expected && cli.hubAddress().urlFrom === "BACKPLANE_URL")) return undefined;
    throw error;
  }
}

const marks = {
  active: ["✓", "green"],
  inactive: ["·", "dim"],
  warning: ["!", "yellow"],
  problem: ["✗", "red"],
} as const;
const areas = { machine: "Machine", wall: "Walls", key: "Keys", driver: "Drivers", setting: "Settings" } as const;

function show({ print }: Cli, { findings, runners = [] }: Diagnosis): void {
  for (const [area, title] of Object.entries(areas)) {
    const here = findings.filter((finding) => finding.area === area);
    if (here.length === 0) continue;
    print.line(print.colour("bold", title));
    for (const { name, state, detail } of here) {
      const [mark, plain] = marks[state] ?? marks.warning;
      const colour = /^TEST SETTING/.test(detail) ? "red" : plain;
      print.line(
        `  ${print.colour(colour, `${mark} ${printable(name)}`)}: ${colour === "red" ? print.colour("red", printable(detail)) : printable(detail)}`,
      );
    }
  }
  if (runners.length === 0) return;
  print.line(print.colour("bold", "Runners"));
  print.table(
    runners.map(({ pid, role, instances, residentBytes }) => [
      `  process ${pid}`,
      role,
      `${instances} plugin(s)`,
      `${Math.round(residentBytes / 1e6)} MB`,
    ]),
  );
}
