/**
 * The same plugin as others would run it: a worker thread, a Node process, a Deno process, quickjs in our own process. Each
 * gives a warm instance to call; none has our prelude, limits or bridge. Processes get a runner's priority, so that on a busy
 * machine all wait alike.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { getQuickJS } from "quickjs-emscripten";
import { findDeno } from "./deno.ts";
import { params } from "./handlers.ts";
import { smallPlugin } from "./small-plugin.ts";

export interface PeerInstance {
  /** 0 where it has no process of its own. */
  pid: number;
  call(): Promise<void>;
  end(): Promise<void>;
}

export interface Peers extends AsyncDisposable {
  worker(): Promise<PeerInstance>;
  process(): Promise<PeerInstance>;
  /** Missing when there is none here; `noDeno` says why. */
  deno: (() => Promise<PeerInstance>) | undefined;
  noDeno: string | undefined;
  quickjs(): Promise<PeerInstance>;
}

const ctx = `const ctx = { data: { getById: async (entity, id) => [entity, id] } };`;

export async function preparePeers(): Promise<Peers> {
  const dir = await mkdtemp(join(tmpdir(), "backplane-peers-"));
  const code = await smallPlugin();
  const plugin = `${code}\n${ctx}\nconst plugin = globalThis.__backplanePlugin;\n`;
  const files = {
    worker: join(dir, "worker.cjs"),
    process: join(dir, "process.cjs"),
    deno: join(dir, "deno.mjs"),
  };
  const answer = "({ name, params }) => plugin.functions[name](params, ctx)";
  await writeFile(
    files.worker,
    `${plugin} const { parentPort } = require("node:worker_threads"); const run = ${answer};
parentPort.on("message", async (call) => parentPort.postMessage(await run(call)));`,
  );
  await writeFile(
    files.process,
    `${plugin} const run = ${answer}; process.on("message", async (call) => process.send(await run(call)));
process.on("disconnect", () => process.exit());`,
  );
  await writeFile(
    files.deno,
    `${plugin} const run = ${answer}; const out = new TextEncoder(); let text = "";
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  text += chunk;
  for (let at; (at = text.indexOf("\\n")) >= 0; text = text.slice(at + 1)) {
    Deno.stdout.writeSync(out.encode(JSON.stringify(await run(JSON.parse(text.slice(0, at)))) + "\\n"));
  }
}`,
  );
  const message = { name: "noop", params };
  const line = `${JSON.stringify(message)}\n`;
  const { binary: deno, missing: noDeno } = await findDeno();
  return {
    async worker() {
      const worker = new Worker(files.worker, { execArgv: [], resourceLimits: { maxOldGenerationSizeMb: 64 } });
      return {
        pid: 0,
        call: async () => {
          worker.postMessage(message);
          await once(worker, "message");
        },
        end: async () => void (await worker.terminate()),
      };
    },
    async process() {
      const child = fork(files.process, { execArgv: [], env: {} });
      setPriority(child.pid!, 5);
      return {
        pid: child.pid!,
        call: async () => {
          child.send(message);
          await once(child, "message");
        },
        end: () => endProcess(child),
      };
    },
    noDeno,
    deno:
      deno === undefined
        ? undefined
        : async () => {
            const child = spawn(deno, ["run", "--no-lock", "--no-config", "--no-npm", "--no-remote", files.deno], {
              env: { DENO_DIR: join(dir, "deno"), DENO_NO_UPDATE_CHECK: "1" },
              stdio: ["pipe", "pipe", "inherit"],
            });
            setPriority(child.pid!, 5);
            return {
              pid: child.pid!,
              call: async () => {
                child.stdin.write(line);
                await once(child.stdout, "data");
              },
              end: () => endProcess(child),
            };
          },
    async quickjs() {
      const runtime = (await getQuickJS()).newRuntime();
      runtime.setMemoryLimit(64 * 1024 * 1024);
      const context = runtime.newContext();
      context.unwrapResult(context.evalCode(plugin)).dispose();
      context
        .unwrapResult(
          context.evalCode(
            `globalThis.run = (text) => { const { name, params } = JSON.parse(text);
             plugin.functions[name](params, ctx).then((value) => { globalThis.answer = JSON.stringify(value); }); };
           globalThis.take = () => globalThis.answer;`,
          ),
        )
        .dispose();
      const run = context.getProp(context.global, "run");
      const take = context.getProp(context.global, "take");
      return {
        pid: 0,
        call: async () => {
          const text = context.newString(JSON.stringify(message));
          context.unwrapResult(context.callFunction(run, context.undefined, text)).dispose();
          context.unwrapResult(runtime.executePendingJobs());
          const answer = context.unwrapResult(context.callFunction(take, context.undefined));
          JSON.parse(context.getString(answer));
          answer.dispose();
          text.dispose();
        },
        end: async () => {
          run.dispose();
          take.dispose();
          context.dispose();
          runtime.dispose();
        },
      };
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

async function endProcess(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
