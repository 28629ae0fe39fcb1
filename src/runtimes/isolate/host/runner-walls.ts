/**
 * Walls the machine itself can put around a runner: no network, another user without rights, limits. Which of them are
 * there is tried once; what is missing is shown by `doctor`, and the runner starts without it.
 */
import { execFile } from "node:child_process";

export interface Wall {
  name: string;
  active: boolean;
  detail: string;
}

export interface RunnerWalls {
  /** Command and arguments to put before the runner's own; each of them replaces itself by the next. */
  prefix: string[];
  walls: Wall[];
}

/** Nobody: an account that owns nothing. */
const nobody = "65534";

interface Attempt {
  name: string;
  /** The first that works is taken. */
  commands: string[][];
  active: string;
  missing: string;
}

const known = new Map<string, Promise<RunnerWalls>>();

/** `needs`: files a runner must still be able to read behind the walls. */
export function findRunnerWalls(needs: readonly string[]): Promise<RunnerWalls> {
  const key = needs.join("\n");
  const found = known.get(key) ?? tryAll(needs);
  known.set(key, found);
  return found;
}

async function tryAll(needs: readonly string[]): Promise<RunnerWalls> {
  const root = process.getuid?.() === 0;
  const attempts: Attempt[] = [
    {
      name: "no network",
      commands: root ? [["unshare", "--net", "--"]] : [["unshare", "--user", "--map-current-user", "--net", "--"]],
      active: "runners live in an empty network namespace",
      missing: "the machine lets us make no network namespace; runners have no code that opens sockets",
    },
    {
      name: "own user",
      commands: root
        ? [
            [
              ...["setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups"],
              ...["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"],
            ],
          ]
        : [["setpriv", "--no-new-privs", "--"]],
      active: root ? `runners are user ${nobody}, without capabilities` : "runners can gain no rights",
      missing: "runners have the hub's user: the hub is not root, or that user cannot read the hub's files",
    },
    {
      name: "process limits",
      commands: [["prlimit", "--core=0", "--nofile=128", "--"]],
      active: "no core dumps, few open files",
      missing: "prlimit is not there",
    },
  ];
  const prefix: string[] = [];
  const walls: Wall[] = [];
  for (const { name, commands, active, missing } of attempts) {
    let found: string[] | undefined;
    for (const command of process.platform === "linux" ? commands : []) {
      if (found === undefined && (await works([...prefix, ...command], needs))) found = command;
    }
    prefix.push(...(found ?? []));
    walls.push({ name, active: found !== undefined, detail: found === undefined ? missing : active });
  }
  return { prefix, walls };
}

function works(command: readonly string[], needs: readonly string[]): Promise<boolean> {
  const readable = ["sh", "-c", 'for file; do test -r "$file" || exit 1; done', "sh", ...needs];
  const [program, ...args] = [...command, ...readable];
  return new Promise((resolve) => {
    execFile(program!, args, { timeout: 3000, env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" } }, (error) =>
      resolve(error === null),
    );
  });
}
