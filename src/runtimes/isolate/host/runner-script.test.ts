import assert from "node:assert/strict";
import { test } from "node:test";
import { protocolVersion } from "../bridge/frame.ts";
import { guestPrelude } from "./build-guest.ts";
import { type RunnerScript, runnerScript } from "./build-runner.ts";
import { type RunnerCommand, runnerCommand } from "./runner-command.ts";
import { RunnerLink } from "./runner-link.ts";
import { namePlaces } from "./runner-stack.ts";

const allowed = (args: readonly string[]): string[] => args.filter((arg) => arg.startsWith("--allow"));

async function commandFor(
  script: Promise<RunnerScript>,
  warn = (_message: string): void => {},
): Promise<RunnerCommand> {
  return runnerCommand({ stallMs: 1000, script, warn });
}

function start(command: RunnerCommand, version = protocolVersion): RunnerLink & AsyncDisposable {
  const ended = Promise.withResolvers<void>();
  const link = new RunnerLink({
    id: "runner-1",
    command,
    prelude: guestPrelude(),
    hello: { version, poolMemoryMb: 16, poolSize: 1, maxEntries: 1, stallMs: 1000 },
    onFrame: () => {},
    onEnd: () => ended.resolve(),
  });
  const end = async (): Promise<void> => {
    link.kill("the test is over");
    await ended.promise;
  };
  return Object.assign(link, { [Symbol.asyncDispose]: end });
}

test("a runner starts from one script and may read the engine's native file, nothing else", async () => {
  const command = await commandFor(runnerScript());
  const [addons, worker, file, ...more] = allowed(command.args);
  assert.deepEqual([addons, worker, more], ["--allow-addons", "--allow-worker", []]);
  assert.match(file!, /^--allow-fs-read=\/.*\.node$/);
  assert.ok(command.args.includes("--permission"));
  await using runner = start(command);
  await runner.ready;
});

test("without a script a runner starts from its modules, and the hub hears of it once", async () => {
  const heard: string[] = [];
  const command = await commandFor(Promise.reject(new Error("no bundler")), (message) => heard.push(message));
  assert.equal(heard.length, 1);
  assert.match(heard[0]!, /start from its modules/);
  const beyond = allowed(command.args).filter((arg) => !/\.node$|\/isolate\/(runner|bridge|guest)\/\*$/.test(arg));
  assert.deepEqual(beyond, ["--allow-addons", "--allow-worker"]);
  await using runner = start(command);
  await runner.ready;
});

test("what a runner says as it fails names the place in its sources", async () => {
  await using runner = start(await commandFor(runnerScript()), protocolVersion + 1);
  await assert.rejects(runner.ready);
  assert.match(runner.lastError, /protocol version/);
  assert.match(
    runner.lastError,
    /at #hello \(runner\/runner\.ts:\d+:\d+\)|at Runner\.\S+ \(runner\/runner\.ts:\d+:\d+\)/,
  );
  assert.doesNotMatch(runner.lastError, /\[stdin\]/);
});

test("places that the source map does not know stay as they are", async () => {
  const { map } = await runnerScript();
  const text = "at [stdin]:999999999:1 and at node:net:1:2";
  assert.equal(namePlaces(text, map), text);
});
