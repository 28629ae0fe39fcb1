/** The command as people use it: real processes, a real hub, a plugin from scaffold to reload. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

const cli = join(import.meta.dirname, "../../src/cli.ts");

interface Running {
  child: ChildProcess;
  out: string;
  err: string;
  /** Resolves with the first line, past or future, that matches. */
  line(pattern: RegExp): Promise<string>;
  ended: Promise<number | null>;
}

let place: string;
let hub: Running;
const running = new Set<ChildProcess>();

function start(args: string[], env: Record<string, string> = {}): Running {
  const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
  const hubLess = Object.fromEntries(
    Object.entries(clean).filter(([name]) => !/^(BACKPLANE_|DATABASE_URL|NATS_URL|PORT|HOST)/.test(name)),
  );
  const child = spawn(process.execPath, ["--no-warnings", cli, ...args], {
    cwd: place,
    env: { ...hubLess, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const lines: string[] = [];
  const waiting: { pattern: RegExp; resolve(line: string): void }[] = [];
  const self: Running = {
    child,
    out: "",
    err: "",
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const there = lines.find((line) => pattern.test(line));
        if (there !== undefined) resolve(there);
        else waiting.push({ pattern, resolve });
        void self.ended.then((code) =>
          reject(new Error(`backplane ${args.join(" ")} ended with ${code} before ${pattern}: ${self.out}${self.err}`)),
        );
      }),
    ended: once(child, "close").then(([code]) => {
      running.delete(child);
      return code as number | null;
    }),
  };
  createInterface({ input: child.stdout! }).on("line", (line) => {
    self.out += `${line}\n`;
    lines.push(line);
    for (const waiter of waiting) if (waiter.pattern.test(line)) waiter.resolve(line);
  });
  child.stderr!.on("data", (chunk: Buffer) => (self.err += chunk.toString()));
  return self;
}

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const command = start(args);
  const code = await command.ended;
  return { code, out: command.out, err: command.err };
}

/** Succeeds, and gives the JSON it printed. */
async function json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
  const process = start([...args, "--json"]);
  assert.equal(await process.ended, 0, `backplane ${args.join(" ")}: ${process.err}${process.out}`);
  return JSON.parse(process.out) as T;
}

before(async () => {
  place = await mkdtemp(join(tmpdir(), "backplane-cli-"));
  hub = start(["start", "--port", "0"]);
  await hub.line(/^Backplane listening on http:\/\/127\.0\.0\.1:\d+$/);
});

after(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(place, { recursive: true, force: true, maxRetries: 5 });
});

test("start says where the token is, and other commands in the folder find hub and token by themselves", async () => {
  await hub.line(/^Admin token: \.backplane\/admin-token$/);
  const { plugins } = await json<{ plugins: { id: string; status: string }[] }>("plugins");
  assert.deepEqual(
    plugins.map(({ id, status }) => [id, status]),
    [["backplane.greeter", "active"]],
  );
  const doctor = await run("doctor");
  assert.equal(doctor.code, 0);
  assert.match(doctor.out, /The hub at http:\/\/127\.0\.0\.1:\d+/);
});

test("a second hub on the same data folder is refused with a sentence", async () => {
  const { code, err } = await run("start", "--port", "0");
  assert.equal(code, 1);
  assert.match(err, /data folder .* is used by another hub/);
  assert.doesNotMatch(err, /\n\s+at /);
});

test("a scaffold passes its own test in the sandbox, and a broken test fails the command", async () => {
  assert.equal((await json("create-plugin", "greeter", "--id", "acme.first"))["id"], "acme.first");
  const good = await json<{ passed: number; failed: number; tests: { name: string; file: string; status: string }[] }>(
    "test",
    "greeter",
  );
  assert.deepEqual([good.passed, good.failed], [2, 0]);
  assert.equal(good.tests[0]?.file, "index.test.ts");
  const file = join(place, "greeter/index.test.ts");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace("Moin, Ada", "Nope, Ada"));
  const bad = await run("test", "greeter");
  assert.equal(bad.code, 1);
  assert.match(bad.out, /✖ hello greets with the configured word/);
  assert.match(bad.out, /✔ an order is noted/);
  await writeFile(file, text);
  await json("create-plugin", "crm", "--type", "connector");
  assert.equal((await json<{ passed: number }>("test", "crm"))["passed"], 2, "a first sync stores");
});

test("pack, publish, install, configure, invoke, events, logs and executions work together", async () => {
  const packed = await json<{ digest: string }>("pack", "greeter", "-o", "first.tgz");
  assert.equal((await json<{ digest: string }>("publish", "first.tgz")).digest, packed.digest);
  assert.equal((await json("install", "acme.first"))["status"], "pending_config");
  const blocked = await run("activate", "acme.first");
  assert.equal(blocked.code, 1);
  assert.match(blocked.err, /event:/, "it names what is missing");
  assert.deepEqual((await json("grants", "acme.first", "--grant", "all"))["pendingPermissions"], []);
  assert.equal((await json("activate", "acme.first"))["status"], "active");
  assert.deepEqual((await json("configure", "acme.first", "greeting=Moin"))["config"], { greeting: "Moin" });
  assert.deepEqual((await json("invoke", "acme.first", "hello", '{"who":"Ada"}'))["result"], { text: "Moin, Ada" });

  const tail = start(["events", "tail", "--type", "order.*", "--count", "1", "--json"]);
  const published = new Set<string>();
  const ended = tail.ended.then((code) => assert.equal(code, 0, tail.err));
  // The stream begins at a moment the test cannot see, so events are sent until one arrives.
  for (let open = true; open; ) {
    published.add(
      (await json<{ id: string }>("events", "publish", "order.created", '{"total":1}', "--subject", "o1")).id,
    );
    open = await Promise.race([
      ended.then(() => false),
      new Promise<boolean>((resolve) => setTimeout(resolve, 200, true)),
    ]);
  }
  assert.ok(published.has((JSON.parse(tail.out) as { id: string }).id));

  const follow = start(["logs", "acme.first", "--follow", "--json"]);
  assert.match(await follow.line(/saw order\.created/), /"level":"info"/);
  follow.child.kill("SIGTERM");
  assert.equal(await follow.ended, 0);
  const { executions } = await json<{ executions: { id: string; status: string }[] }>(
    "executions",
    "--plugin",
    "acme.first",
    "--status",
    "succeeded",
  );
  assert.ok(executions.length >= 2);
  assert.equal((await json("executions", executions[0]!.id, "--wait"))["status"], "succeeded");
  const { executionId } = await json<{ executionId: string }>(
    "invoke",
    "acme.first",
    "hello",
    '{"who":"Bo"}',
    "--async",
  );
  assert.deepEqual((await json("executions", executionId, "--wait"))["result"], { text: "Moin, Bo" });
});

test("dev reloads in less than a second and keeps the last good build while one is broken", async () => {
  const dev = start(["dev", "greeter", "--json"]);
  const ready = async (version: RegExp): Promise<{ ms: number }> =>
    JSON.parse(await dev.line(version)) as { ms: number };
  await ready(/"kind":"ready"/);
  const call = async (): Promise<unknown> =>
    (await json<{ result: unknown }>("invoke", "acme.first", "hello", '{"who":"Ada"}')).result;
  const file = join(place, "greeter/index.ts");
  const text = await readFile(file, "utf8");
  let best = Number.POSITIVE_INFINITY;
  // The best of some: on a machine busy with other suites a single one says little.
  for (const sign of ["!", "?", ";"]) {
    const seen = dev.out.length;
    await writeFile(file, text.replace("}, $", `}${sign} $`));
    while (!dev.out.slice(seen).includes('"kind":"ready"')) {
      assert.ok(running.has(dev.child), dev.out + dev.err);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const last = dev.out
      .trim()
      .split("\n")
      .findLast((line) => line.includes('"kind":"ready"'));
    best = Math.min(best, (JSON.parse(last!) as { ms: number }).ms);
    assert.deepEqual(await call(), { text: `Moin${sign} Ada` });
  }
  assert.ok(best < 1000, `the quickest reload took ${best} ms`);
  await writeFile(file, `${text}\nthis is no code`);
  const { diagnostics } = JSON.parse(await dev.line(/"kind":"broken"/)) as {
    diagnostics: { file: string; line: number }[];
  };
  assert.deepEqual([diagnostics[0]?.file, diagnostics[0]?.line], ["index.ts", text.split("\n").length + 1]);
  assert.deepEqual(await call(), { text: "Moin; Ada" });
  dev.child.kill("SIGINT");
  assert.equal(await dev.ended, 0);
});

test("SIGTERM waits for what runs and ends with 0", async () => {
  hub.child.kill("SIGTERM");
  assert.equal(await hub.ended, 0);
  const { code, err } = await run("plugins");
  assert.equal(code, 1);
  assert.match(err, /No hub answers/);
});

test("a second signal ends the hub at once, whatever still runs", async () => {
  const dir = join(place, "sleepy");
  await mkdir(dir);
  const contributes = { functions: [{ name: "sleep" }] };
  await writeFile(
    join(dir, "plugin.json"),
    JSON.stringify({ id: "acme.sleepy", name: "S", version: "1.0.0", entrypoint: "./index.ts", contributes }),
  );
  await writeFile(
    join(dir, "index.ts"),
    "export default { functions: { sleep: () => new Promise((resolve) => setTimeout(resolve, 25_000)) } };",
  );
  const other = start(["start", "--port", "0"]);
  await other.line(/^Admin token/);
  await json("install", "sleepy", "--activate");
  const call = start(["invoke", "acme.sleepy", "sleep"]);
  while ((await json<{ executions: unknown[] }>("executions", "--status", "running")).executions.length === 0)
    assert.ok(running.has(call.child), call.err);
  other.child.kill("SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(running.has(other.child), "it waits for the call");
  const asked = performance.now();
  other.child.kill("SIGTERM");
  assert.equal(await other.ended, 143);
  assert.ok(performance.now() - asked < 2000);
  assert.equal(await call.ended, 1);
  assert.match(call.err, /^backplane: /);
});
